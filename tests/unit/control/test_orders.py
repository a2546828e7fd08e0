"""Orders, and the order book over which requests and the control worker's loop share them."""

import select

from tests.unit.controlled import SERVING, TCP, reacting, report, supervised, tcp_is
from vpcrouter.control.orders import OrderBook
from vpcrouter.model.messages import API, CONTROL, Orders, WorkersReport


def test_orders_add_up_and_each_has_a_number() -> None:
    orders = Orders().to_stop("a").to_stop("b").to_start("a").to_start("a")
    assert orders == Orders(4, stopped=frozenset({"b"}), starts={"a": 2})
    orders = orders.to_signal("b", 1).to_signal("b", 15).to_shut_down()
    assert orders == Orders(
        7, frozenset({"b"}), starts={"a": 2}, signals={"b": (2, 15)}, shutdown=True
    )


def test_a_reload_is_counted_and_changes_no_other_order() -> None:
    before = Orders().to_stop("a")
    assert before.to_reload().to_reload() == Orders(3, stopped=frozenset({"a"}), reloads=2)


def test_both_who_show_workers_read_reports() -> None:
    assert WorkersReport.readers == {API, CONTROL}


def test_before_a_report_nothing_is_known() -> None:
    book = OrderBook()
    assert book.reports == 0
    assert book.report.workers == ()
    assert book.status("tcp") is None
    assert not book.wait_newer(0, 0.0)


def test_the_newest_report_counts() -> None:
    book = OrderBook()
    book.hear(report())
    book.hear(tcp_is("STOPPED")(Orders()))
    tcp = book.status("tcp")
    assert tcp is not None
    assert tcp.state == "STOPPED"
    assert book.status("control") == SERVING
    assert book.wait_newer(1, 0.0)
    assert not book.wait_newer(2, 0.0)


def test_orders_wake_the_loop_and_are_carried_until_they_are_obeyed() -> None:
    book = OrderBook()
    assert book.unobeyed() is None
    number = book.give(lambda orders: orders.to_stop("tcp"))
    assert select.select([book], [], [], 0)[0]
    book.clear()
    assert not select.select([book], [], [], 0)[0]
    orders = book.unobeyed()
    assert orders == Orders().to_stop("tcp")
    book.hear(report())
    assert book.unobeyed() == orders, "heard, but not of these"
    assert not book.wait_obeyed(number, 0.0)
    book.hear(report(TCP, orders))
    assert book.unobeyed() is None
    assert book.wait_obeyed(number, 0.0)


def test_a_new_generation_goes_on_from_what_was_ordered_before_it() -> None:
    book = OrderBook()
    before = Orders().to_stop("tcp").to_stop("api")
    book.hear(report(TCP, before))
    book.give(lambda orders: orders.to_start("api"))
    assert book.unobeyed() == Orders(3, stopped=frozenset({"tcp"}), starts={"api": 1})


def test_an_older_report_takes_no_order_back() -> None:
    book = OrderBook()
    number = book.give(lambda orders: orders.to_stop("tcp"))
    book.hear(report())
    assert book.give(Orders.to_shut_down) == number + 1
    assert book.unobeyed() == Orders().to_stop("tcp").to_shut_down()


def test_waiting_ends_with_the_report_waited_for() -> None:
    book = OrderBook()
    with supervised(book, reacting(lambda _: report(), tcp_is("STOPPED"))):
        assert book.wait_obeyed(book.give(lambda orders: orders.to_stop("tcp")), 5)
