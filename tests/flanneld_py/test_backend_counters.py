"""What the kernel has counted on devices."""

from flanneld_py.backend.counters import device_statistics, read_counters
from flanneld_py.monitor.statistics import Flow, Statistics

# proc(5); numbers as the kernel prints them.
NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
flannel.1: 8400     100    1    2    0     0          0         0     4200      50    3    4    0     0       0          0
flannel-v6.1:   10    1    0    0    0     0          0         0       20       2    0    0    0     0       0          0
"""  # noqa: E501


def test_what_a_device_carried_is_counted():
    assert read_counters(NET_DEV, ["flannel.1"], repairs=7) == Statistics(
        sent={"": Flow(50, 4200)},
        received={"": Flow(100, 8400)},
        dropped={"receive error": 1, "receive dropped": 2, "transmit error": 3, "transmit dropped": 4},
        repairs=7,
    )


def test_two_devices_are_added_up():
    both = read_counters(NET_DEV, ["flannel.1", "flannel-v6.1"])
    assert (both.sent[""], both.received[""]) == (Flow(52, 4220), Flow(101, 8410))


def test_a_device_that_is_not_there_has_carried_nothing():
    assert read_counters(NET_DEV, ["gone0"], repairs=1) == Statistics(repairs=1)
    assert device_statistics([], repairs=1) == Statistics(repairs=1)


def test_the_kernels_own_file_is_understood():
    assert device_statistics(["lo"], repairs=0).sent[""].packets >= 0
