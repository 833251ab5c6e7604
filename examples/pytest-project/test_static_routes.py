from lab import checks


def test_every_machine_reaches_the_containers_of_every_other(lab):
    assert checks.failed(checks.run_all(lab)) == []


def test_a_machine_that_reboots_has_its_route_again(lab, node):
    lab.engine.restart(node("left").container.id)
    node("left").start_service("docker")
    assert "10.7.12.0/24 via" in node("left").run(["ip", "route"]).text
