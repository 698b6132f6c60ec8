"""A history grows by what the stages of an iteration gave, and the rules decide from it."""

from __future__ import annotations

from aiida import orm

from aiida_bloomery.calculations.functions.campaign import conclude, decide, record_iteration


def record(chain, **more):
    return record_iteration(
        funnel=chain.select_1.outputs.funnel,
        ledger=chain.label_1.outputs.ledger,
        batch=chain.label_1.outputs.labelled,
        potential=chain.train_1.outputs.potential,
        training=chain.train_1.outputs.history,
        validation=chain.observe_1.outputs.observation,
        **more,
    )


def test_history_quotes_the_nodes(chain):
    (entry,) = record(chain)["iterations"]
    assert entry["potential"] == chain.train_1.outputs.potential.uuid
    assert entry["batch"] == chain.label_1.outputs.labelled.uuid
    assert entry["n_selected"] == entry["labels_total"] == chain.label_1.outputs.labelled.n_frames
    assert entry["labels"]["by_role"] == chain.label_1.outputs.labelled.base.attributes.get("roles")
    assert entry["validation"]["n_frames"] == chain.observe_1.outputs.observation["n_frames"]
    assert entry["training"]["members"] == 2


def test_iterations_are_counted(chain):
    history = record(chain, history=record(chain))
    assert [entry["iteration"] for entry in history["iterations"]] == [0, 1]
    assert history["iterations"][1]["labels_total"] == 2 * history["iterations"][0]["labels_total"]


def test_iteration_that_selected_nothing_is_recorded(profile):
    history = record_iteration(funnel=orm.Dict({"funnel": [], "n_selected": 0}))
    assert history["iterations"][0]["potential"] == ""


def test_decision_follows_the_rules_and_ends_the_history(chain):
    history = record(chain)
    decision = decide(history=history, stop=orm.Dict({"max_iterations": 0}))
    assert decision["done"]
    assert decision["rule"] == "max_iterations"
    potential = chain.train_1.outputs.potential
    ended = conclude(history=history, decision=decision, potential=potential)
    assert ended["decision"]["rule"] == "max_iterations"
    assert ended["final"]["potential"] == potential.uuid
    assert ended["final"]["validation"] == history["iterations"][0]["validation"]
