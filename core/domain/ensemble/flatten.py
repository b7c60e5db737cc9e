"""The trained libraries' trees as flat arrays, all under one rule: left when value <= threshold, NaN as stated."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from core.domain.forecast.blend import libm
from core.domain.forecast.trees import Trees

# Stands for an infinite threshold, which parts NaN from all numbers: no usable value is above it either.
LARGEST = float(np.finfo(np.float64).max)


class Node(NamedTuple):
    """A node, with its children as whatever the library names them by; a leaf has feature -1 and no children."""

    feature: int
    number: float
    missing_left: bool = True
    children: tuple[Any, ...] = ()


def lightgbm_trees(booster: Any) -> Trees:
    """From `dump_model`, which prints every double exactly (17 digits). Raises ValueError for splits that are not
    numerical, or that take 0 for missing."""
    trees = booster.dump_model()["tree_info"]
    return _flatten(((tree["tree_structure"], _lightgbm_node) for tree in trees), 0.0)


def _lightgbm_node(node: dict[str, Any]) -> Node:
    if "split_feature" not in node:
        return Node(-1, node["leaf_value"])
    missing, threshold = node["missing_type"], node["threshold"]
    if node["decision_type"] != "<=" or missing not in ("None", "NaN"):
        raise ValueError(f"LightGBM split {node['decision_type']!r} with missing {missing!r} cannot be exported")
    # A feature without NaN in training: LightGBM reads NaN as 0.0 (Tree::NumericalDecision in its tree.h).
    left = node["default_left"] if missing == "NaN" else threshold >= 0.0
    return Node(node["split_feature"], threshold, left, (node["left_child"], node["right_child"]))


def xgboost_trees(booster: Any) -> Trees:
    """From `save_raw("json")`. XGBoost goes left when value < threshold in float32, which is value <= the next float32
    below."""
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    base = learner["learner_model_param"]["base_score"].strip("[]")
    trees = learner["gradient_booster"]["model"]["trees"]
    return _flatten(((0, _xgboost_reader(tree)) for tree in trees), _margin(np.float32(base)))


def _xgboost_reader(tree: dict[str, Any]) -> Callable[[int], Node]:
    number = np.array(tree["split_conditions"], np.float32)
    below = np.nextafter(number, np.float32(-np.inf))

    def node(index: int) -> Node:
        left = tree["left_children"][index]
        if left < 0:
            return Node(-1, float(number[index]))
        children = (left, tree["right_children"][index])
        return Node(tree["split_indices"][index], float(below[index]), bool(tree["default_left"][index]), children)

    return node


def _margin(base_score: np.float32) -> float:
    """The log-odds that XGBoost starts from: -logf(1 / p - 1) in float32 (ProbToMargin in its logistic objective)."""
    one = np.float32(1)
    return -libm("logf")(float(one / base_score - one))


def forest_trees(forest: Any) -> Trees:
    """From scikit-learn's `tree_` arrays: float32 values against float64 thresholds, leaves hold the share of ups."""
    return _flatten(((0, _forest_reader(tree.tree_)) for tree in forest.estimators_), 0.0)


def _forest_reader(tree: Any) -> Callable[[int], Node]:
    nodes = tree.__getstate__()["nodes"]
    left, right = tree.children_left.tolist(), tree.children_right.tolist()
    feature, threshold = tree.feature.tolist(), tree.threshold.tolist()
    missing, ups = nodes["missing_go_to_left"].astype(bool).tolist(), tree.value[:, 0, 1].tolist()

    def node(index: int) -> Node:
        if left[index] < 0:
            return Node(-1, ups[index])
        return Node(feature[index], threshold[index], missing[index], (left[index], right[index]))

    return node


def no_trees() -> Trees:
    """Of a member that the model does not ask."""
    return _flatten((), 0.0)


def _flatten(trees: Iterable[tuple[Any, Callable[[Any], Node]]], base: float) -> Trees:
    """Each tree (its root's name, how to read a node) level by level, which puts siblings side by side."""
    nodes: list[Node] = []
    first: list[int] = []
    sizes: list[int] = []
    for root, read in trees:
        names = [root]
        for name in names:  # grows while it is walked
            node = read(name)
            nodes.append(node)
            first.append(len(names) if node.children else 0)
            names.extend(node.children)
        sizes.append(len(names))
    return Trees(
        sizes=np.array(sizes, "<i4"),
        feature=np.array([node.feature for node in nodes], "<i2"),
        number=np.clip(np.array([node.number for node in nodes], "<f8"), -LARGEST, LARGEST),
        first=np.array(first, "<i4"),
        missing_left=np.array([node.missing_left for node in nodes], "|b1"),
        base=np.array(base, "<f8"),
    )
