"""Decision trees as flat arrays: how they are stored, checked, and walked all at once.

The nodes of a tree lie one after the other, the two children of a node side by side and after it. A row goes left
when its value is at most the node's threshold; `missing_left` says where NaN goes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.domain.bars import Floats
from core.domain.forecast.manifest import BadModel

Index = NDArray[np.intp]
Array = NDArray[Any]

DEEPEST: Final = 64
CHUNK: Final = 128  # rows walked at once: the working arrays of 900 trees then stay within the processor's cache
ZERO: Final = float(np.float32(1e-35))  # LightGBM takes |x| up to this for 0 (kZeroThreshold in its meta.h)
LAYOUT: Final = {
    "sizes": ("<i4", 1),
    "feature": ("<i2", 1),
    "number": ("<f8", 1),
    "first": ("<i4", 1),
    "missing_left": ("|b1", 1),
    "base": ("<f8", 0),
}


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """The trees of one member. `sizes` (trees,) counts the nodes of each; the others are (nodes,).

    `feature`: column, -1 in a leaf. `number`: threshold, or the leaf's value. `first`: left child, counted from the
    tree's root; the right one follows; 0 in a leaf. `base`: what the sum over the trees begins with.
    """

    sizes: NDArray[np.int32]
    feature: NDArray[np.int16]
    number: Floats
    first: NDArray[np.int32]
    missing_left: NDArray[np.bool_]
    base: Floats

    @property
    def roots(self) -> Index:
        return np.concatenate([[0], np.cumsum(self.sizes[:-1], dtype=np.intp)]).astype(np.intp)


def read_arrays(data: bytes, name: str, layout: Mapping[str, tuple[str, int]]) -> dict[str, Array]:
    """The arrays of an .npz, which must be those of `layout`: name → (dtype, dimensions). Raises BadModel.

    Only stored (not compressed) members are read, so that a file cannot be larger in memory than it is.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            plain = all(part.compress_type == zipfile.ZIP_STORED for part in archive.infolist())
            if not plain or sorted(archive.namelist()) != sorted(f"{key}.npy" for key in layout):
                raise ValueError(f"it holds {archive.namelist()}")
            arrays = {key: _array(archive.read(f"{key}.npy")) for key in layout}
    except Exception as error:  # zipfile and numpy raise a dozen kinds on damaged input
        raise BadModel("model_unreadable", f"{name} cannot be read ({error}): publish the model again") from None
    for key, (dtype, dimensions) in layout.items():
        if arrays[key].dtype != np.dtype(dtype) or arrays[key].ndim != dimensions:
            raise BadModel("model_unreadable", f"{name}: {key} is no array of {dtype} with {dimensions} dimensions")
    return arrays


def _array(data: bytes) -> Array:
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def read_trees(data: bytes, name: str, width: int) -> Trees:
    """Trees over `width` features, checked so that walking them can neither leave the arrays nor loop.

    Raises BadModel.
    """
    trees = Trees(**read_arrays(data, name, LAYOUT))
    fault = _fault(trees, width)
    if fault:
        raise BadModel("model_unreadable", f"{name}: {fault}: publish the model again")
    return trees


def read_no_trees(data: bytes, name: str) -> None:
    """The file of a member that the model does not ask. Raises BadModel when there is anything in it."""
    arrays = read_arrays(data, name, LAYOUT)
    if any(array.size for key, array in arrays.items() if key != "base") or arrays["base"] != 0.0:
        raise BadModel("model_unreadable", f"{name} holds trees that this kind of model does not ask: publish it again")


def _fault(trees: Trees, width: int) -> str | None:
    nodes = len(trees.feature)
    if not len(trees.sizes) or (trees.sizes < 1).any() or trees.sizes.sum(dtype=np.int64) != nodes:
        return "the sizes of the trees do not add up to the nodes"
    if not len(trees.number) == len(trees.first) == len(trees.missing_left) == nodes:
        return "the arrays are of different lengths"
    if not np.isfinite(trees.number).all() or not np.isfinite(trees.base):
        return "a threshold or a value is not finite"
    if (trees.feature < -1).any() or (trees.feature >= width).any():
        return f"a node asks for a feature outside of the {width}"
    return _misplaced(trees)


def _misplaced(trees: Trees) -> str | None:
    """Children lie after their parent, inside its tree, and every node but a root is the child of exactly one."""
    own = np.arange(len(trees.first)) - np.repeat(trees.roots, trees.sizes)
    inner = trees.feature >= 0
    first, size = trees.first[inner], np.repeat(trees.sizes, trees.sizes)[inner]
    if (first <= own[inner]).any() or (first >= size - 1).any() or (trees.first[~inner] != 0).any():
        return "a node's children lie before it or outside of its tree"
    left = (first + np.repeat(trees.roots, trees.sizes)[inner]).astype(np.intp)
    parents = np.bincount(np.concatenate([left, left + 1]), minlength=len(own))
    return None if np.array_equal(parents, own > 0) else "a node has no parent, or two"


@dataclass(frozen=True, slots=True, eq=False)
class Grove:
    """Several members' trees in one table, the deepest tree first, so that each level walks a shrinking head of it.

    A leaf is its own left child under a threshold of infinity: a row that has arrived stays. `active[k]` counts the
    trees that are deeper than k levels; `place` puts the trees back into their members' order.
    """

    feature: Index
    threshold: Floats
    first: Index
    missing_left: NDArray[np.bool_]
    value: Floats
    roots: Index
    active: tuple[int, ...]
    place: Index

    def leaves(self, rows: Floats) -> Iterator[tuple[slice, Floats]]:
        """(which rows, their leaf values of shape (trees, rows of this chunk)) for `rows` of (n, features)."""
        wide = _both_precisions(rows)
        for start in range(0, len(rows), CHUNK):
            chunk = slice(start, min(start + CHUNK, len(rows)))
            yield chunk, self.value.take(self._walk(wide[chunk])).take(self.place, axis=0)

    def _walk(self, rows: Floats) -> Index:
        flat, missing = rows.ravel(), bool(np.isnan(rows).any())
        offset = np.arange(len(rows)) * rows.shape[1]
        node = np.repeat(self.roots[:, None], len(rows), axis=1)
        for count in self.active:
            at = node[:count]
            x = flat.take(self.feature.take(at) + offset)
            right = ~(x <= self.threshold.take(at))
            if missing:
                right &= ~(np.isnan(x) & self.missing_left.take(at))
            np.add(self.first.take(at), right, out=at)
        return node


def _both_precisions(rows: Floats) -> Floats:
    """(n, 2 x features): the doubles as LightGBM reads them, then the values rounded to float32."""
    with np.errstate(over="ignore"):
        single = rows.astype(np.float32).astype(np.float64)
    return np.concatenate([np.where(np.abs(rows) <= ZERO, 0.0, rows), single], axis=1)


def plant(members: Sequence[Trees], single: Sequence[bool], width: int) -> Grove:
    """One table of all members' trees; `single[k]`: member k reads its features rounded to float32.

    Raises BadModel when a tree is deeper than DEEPEST levels.
    """
    starts = np.cumsum([0] + [len(trees.feature) for trees in members])
    roots = np.concatenate([trees.roots + start for trees, start in zip(members, starts, strict=False)])
    sizes = np.concatenate([trees.sizes for trees in members])
    leaf = np.concatenate([trees.feature < 0 for trees in members])
    number = np.concatenate([trees.number for trees in members])
    shift = np.repeat([width * flag for flag in single], np.diff(starts))
    feature = np.concatenate([trees.feature for trees in members]) + shift
    first = np.concatenate([trees.first for trees in members]) + np.repeat(roots, sizes)
    first = np.where(leaf, np.arange(len(leaf)), first)
    depths = _depths(first, leaf, roots)
    order = np.argsort(-depths, kind="stable")
    return Grove(
        feature=np.where(leaf, 0, feature),
        threshold=np.where(leaf, np.inf, number),
        first=first,
        missing_left=np.concatenate([trees.missing_left for trees in members]) | leaf,
        value=number,
        roots=roots[order],
        active=tuple(int((depths > level).sum()) for level in range(int(depths.max()))),
        place=np.argsort(order, kind="stable"),
    )


def _depths(first: Index, leaf: NDArray[np.bool_], roots: Index) -> Index:
    """How many levels below its root each tree reaches."""
    level = np.zeros(len(first), np.intp)
    here = roots
    for depth in range(1, DEEPEST + 2):
        here = here[~leaf[here]]
        if not len(here):
            return np.maximum.reduceat(level, roots)
        here = np.concatenate([first[here], first[here] + 1])
        level[here] = depth
    raise BadModel("model_unreadable", f"a tree is deeper than {DEEPEST} levels: publish the model again")
