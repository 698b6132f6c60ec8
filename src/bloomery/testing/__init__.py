"""Conformance suites: what every plug-in of a kind must do, ours and a third party's.

A test module of a plug-in calls the checks of its kind, for example::

    from bloomery.testing.descriptors import check_descriptor


    def test_my_descriptor() -> None:
        check_descriptor(MyDescriptor())
"""
