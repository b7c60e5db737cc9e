"""The naive way to write a tick, for comparison: everything imported, official clients, a pickled ensemble.

As a script it does one tick and exits; as a source for functions-framework its target is `naive`. It computes no
features and decides nothing, so what it is compared with does more.
"""

from __future__ import annotations

import os
import pickle  # noqa: TID251 — the very thing that is compared with
import uuid

import ccxt
import lightgbm
import numpy as np
import pandas as pd
import sklearn.ensemble
import xgboost
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore, storage

IMPORTED = (ccxt, lightgbm, xgboost, sklearn.ensemble)
PROJECT = os.environ["GOOGLE_CLOUD_PROJECT"]
BUCKET = os.environ["HOURHAND__MODELS__BUCKET"]


def tick() -> str:
    state = firestore.Client(project=PROJECT, credentials=AnonymousCredentials())
    bar = str(uuid.uuid4())
    state.collection("naive").document(bar).create({"lease": True})
    window = state.collection("naive").document("window").get().to_dict() or {}
    frame = pd.DataFrame(np.frombuffer(window["bars"]).reshape(-1, 6), columns=list("tohlcv"))
    files = storage.Client(project=PROJECT, credentials=AnonymousCredentials())
    members = pickle.loads(files.bucket(BUCKET).blob("naive.pickle").download_as_bytes())
    row = frame.tail(1).to_numpy()[:, :1].repeat(members[0].n_features_in_, axis=1)
    p_up = float(np.mean([member.predict_proba(row)[0, 1] for member in members]))
    state.collection("naive").document(bar).set({"lease": False, "p": p_up})
    return f"p(up) {p_up:.4f}"


def naive(request: object) -> str:
    return tick()


if __name__ == "__main__":
    from benchmarks.peak import peak_kib

    tick()
    print(peak_kib())
