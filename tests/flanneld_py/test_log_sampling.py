from flanneld_py.runtime.log_sampling import FEW, LogSample


def test_a_few_are_told_at_once_and_of_a_flood_that_there_are_more():
    sparing = LogSample()
    told = [text for number in range(50_000) if (text := sparing.tell(f"key {number}", 100.0))]
    assert told[:FEW] == [f"key {number}" for number in range(FEW)]
    assert told[FEW:] == [f"key {FEW}. Further ones are only counted for a while"]


def test_after_a_flood_the_next_one_tells_how_many_were_left_out():
    sparing = LogSample()
    for number in range(10):
        sparing.tell(f"key {number}", 100.0)
    assert sparing.tell("later", 170.0) == "later (and 4 others before it)"
    assert sparing.tell("at once", 170.0).startswith("at once. Further")
    assert sparing.tell("much later", 10_000.0) == "much later"
