"""Settings: layered, typed, exact, and refused with the key, the place and what is allowed."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.ensemble import Gate, Training
from core.domain.risk import Policy
from core.settings import DEFAULT, SECTIONS, Settings, SettingsError, cautions, load
from core.settings.sections import LIMITS, BookKeys

ROOT = Path(__file__).parents[1]


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    file = tmp_path / "mine.toml"
    file.touch()
    return file


def written(folder: Path, text: str) -> Path:
    file = folder / "mine.toml"
    file.write_text(text)
    return file


def problems(file: Path, **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(file, environ)
    assert caught.value.problems
    return str(caught.value)


def builtins(value: Any) -> Any:
    """As TOML would have it; numbers by their value, whatever their type."""
    plain = msgspec.to_builtins(value, builtin_types=(Decimal,))
    return {key: Decimal(str(v)) if type(v) in (int, float) else v for key, v in plain.items()}


def defaults() -> dict[str, Any]:
    plan = {key: value for key, value in builtins(Settings().training).items() if key != "learnt"}
    structs = {name: builtins(getattr(Settings(), name)) for name in SECTIONS}
    book = msgspec.to_builtins(BookKeys(id="btc-jpy-1h", symbol="BTC/JPY")) | {"policy": {}}
    return structs | {"training": plan | builtins(Training()), "gate": builtins(Gate()), "books": [book]}


def test_default_toml_and_the_structs_agree_key_by_key() -> None:
    table = tomllib.loads(DEFAULT.read_text(), parse_float=Decimal)
    as_numbers = {
        name: {k: Decimal(v) if type(v) is int else v for k, v in rows.items()} if isinstance(rows, dict) else rows
        for name, rows in table.items()
    }
    as_lists = {
        name: {k: list(v) if isinstance(v, tuple) else v for k, v in rows.items()} if isinstance(rows, dict) else rows
        for name, rows in defaults().items()
    }
    assert as_numbers == as_lists


def test_every_key_of_default_toml_is_explained_and_most_say_what_is_safe() -> None:
    lines = DEFAULT.read_text().splitlines()
    keys = [number for number, line in enumerate(lines) if re.match(r"\w+ = ", line)]
    assert len(keys) > 100
    assert [lines[number] for number in keys if not lines[number - 1].startswith("# ")] == []


def test_every_exact_number_has_its_limits() -> None:
    exact = {
        (kind, field.name)
        for kind in SECTIONS.values()
        for field in msgspec.structs.fields(kind)
        if field.type is Decimal
    }
    assert set(LIMITS) == exact


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "config").glob("*.toml")))
def test_every_file_shipped_is_sound(name: str) -> None:
    cloud = {"GOOGLE_CLOUD_PROJECT": "p", "HOURHAND__MODELS__BUCKET": "b"}
    settings = load(ROOT / "config" / name, cloud)
    assert settings.books
    assert settings.training.learning().horizon >= 1


def test_live_is_gentler_than_paper() -> None:
    cloud = {"GOOGLE_CLOUD_PROJECT": "p", "HOURHAND__MODELS__BUCKET": "b"}
    live, paper = load(ROOT / "config/live.toml", cloud), load(ROOT / "config/paper.toml", {})
    assert (live.exchange.mode, paper.exchange.mode) == ("live", "paper")
    assert live.policy.minimum_confidence == 0.65
    assert live.policy.risk_per_trade < paper.policy.risk_per_trade
    assert live.policy.threshold > paper.policy.threshold


def test_layers_lie_over_one_another(tmp_path: Path) -> None:
    file = written(tmp_path, "[policy]\nthreshold = 0.06\nstop_atr = 3\n")
    settings = load(file, {"HOURHAND__POLICY__STOP_ATR": "2.5"})
    assert (settings.policy.threshold, settings.policy.stop_atr) == (0.06, 2.5)
    assert settings.policy.exit_fraction == Policy().exit_fraction
    assert settings.books[0].policy == settings.policy


def test_the_file_is_chosen_by_argument_then_environment_then_here(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    named = written(tmp_path, "[serve]\nport = 1\n")
    other = written(tmp_path_factory.mktemp("other"), "[serve]\nport = 2\n")
    environ = {"HOURHAND_CONFIG": str(other)}
    assert load(named, environ).serve.port == 1
    assert load(None, environ).serve.port == 2
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "paper.toml").write_text("[serve]\nport = 3\n")
    road = f"import sys; sys.path.insert(0, {str(ROOT)!r})"
    code = f"{road}; from core.settings import load; print(load(None, {{}}).serve.port)"
    for folder, port in ((tmp_path, "3"), (other.parent, "8080")):
        run = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
        assert run.stdout.strip() == port


@pytest.mark.parametrize(
    ("variable", "text", "section", "key", "value"),
    [
        ("VENUE__ID", "bybit", "venue", "id", "bybit"),
        ("VENUE__ID", '"bybit"', "venue", "id", "bybit"),
        ("STATE__PROJECT", "1234", "state", "project", "1234"),
        ("STATE__PATH", "true", "state", "path", "true"),
        ("MARKET__PATH", "", "market", "path", ""),
        ("POLICY__SHORT", "false", "policy", "short", False),
        ("POLICY__CAPITAL", "1e5", "policy", "capital", Decimal(100000)),
        ("POLICY__RISK_PER_TRADE", "0.02", "policy", "risk_per_trade", Decimal("0.02")),
        ("VIX__SOURCES", '["cboe"]', "vix", "sources", ("cboe",)),
        ("VIX__SOURCES", "[]", "vix", "sources", ()),
        ("VENUE__URLS", '{public = "http://127.0.0.1:1"}', "venue", "urls", {"public": "http://127.0.0.1:1"}),
        ("VENUE__URLS__PUBLIC", "http://127.0.0.1:1", "venue", "urls", {"public": "http://127.0.0.1:1"}),
        ("VENUE", '{id = "okx"}', "venue", "id", "okx"),
    ],
)
def test_the_environment_overrides_any_key(
    empty: Path, variable: str, text: str, section: str, key: str, value: object
) -> None:
    settings = load(empty, {f"HOURHAND__{variable}": text, "HOURHAND_COMMIT": "x", "PATH": "/bin"})
    assert getattr(getattr(settings, section), key) == value


def test_books_come_from_the_environment_as_well(empty: Path) -> None:
    row = '[{id = "eth", symbol = "ETH/JPY", policy = {threshold = 0.09}}]'
    settings = load(empty, {"HOURHAND__BOOKS": row, "HOURHAND__POLICY__STOP_ATR": "3"})
    (book,) = settings.books
    assert (book.id, book.symbol, book.timeframe, book.policy.threshold, book.policy.stop_atr) == (
        "eth", "ETH/JPY", "1h", 0.09, 3.0,
    )  # fmt: skip


def test_the_cloud_s_project_stands_in_for_one_that_is_not_named(empty: Path, tmp_path: Path) -> None:
    cloud = {"GOOGLE_CLOUD_PROJECT": "there"}
    settings = load(empty, cloud)
    assert (settings.state.project, settings.log.project) == ("there", "there")
    assert load(written(tmp_path, '[state]\nproject = "mine"'), cloud).state.project == "mine"


@given(st.decimals(Decimal("0.0001"), Decimal("0.2"), allow_nan=False, places=12), st.booleans())
def test_money_is_exact(value: Decimal, quoted: bool) -> None:
    text = f'"{value:f}"' if quoted else f"{value:f}"
    settings = load(ROOT / "config/paper.toml", {"HOURHAND__POLICY__RISK_PER_TRADE": text})
    assert settings.policy.risk_per_trade == value


def test_a_book_has_its_own_policy_over_the_common_one(tmp_path: Path) -> None:
    text = """
    [policy]
    threshold = 0.06
    [[books]]
    id = "a"
    symbol = "BTC/JPY"
    policy = { threshold = 0.1, capital = 0.10 }
    [[books]]
    id = "b"
    symbol = "ETH/USDT:USDT"
    timeframe = "4h"
    """
    settings = load(written(tmp_path, text), {"HOURHAND__TICK__MAX_LATENESS_S": "60"})
    a, b = settings.book("a"), settings.book("b")
    assert (a.policy.threshold, a.policy.capital, b.policy.threshold) == (0.1, Decimal("0.10"), 0.06)
    assert (b.timeframe, b.max_lateness_s, b.vix_max_age_s, b.features) == ("4h", 60, 4 * 86400, "vix53")
    assert (b.rules, b.costs) == (settings.rules, settings.paper)
    with pytest.raises(KeyError, match="there is no book 'c': the settings have a, b"):
        settings.book("c")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[policy]\ntreshold = 1", r"mine\.toml: there is no key \[policy\] treshold; did you mean threshold\?"),
        ("[polcy]\nx = 1", r"mine\.toml: there is no section \[polcy\]; did you mean policy\?"),
        ("[zzzz]\n", r"there is no section \[zzzz\]; there are venue, market"),
        ("[training]\nhorizn = 1", r"there is no key \[training\] horizn; did you mean horizon\?"),
        ("[training]\nlearnt = 1", r"there is no key \[training\] learnt"),
        ("[training]\nhorizon = 0", r"\[training\] horizon = 0 is refused; give a whole number at least 1 and at most"),
        ("[gate]\nrows = 0.5", r"\[gate\] rows = 0.5 is refused; give a whole number at least 1"),
        ("[policy]\nthreshold = 0.5", r"threshold = 0.5 is refused; give a number at least 0 and at most 0.45"),
        ("[policy]\nthreshold = true", r"threshold = true is refused"),
        ("[policy]\nthreshold = nan", r"threshold = NaN is refused"),
        ("[policy]\nvix_calm = inf", r"vix_calm = Infinity is refused"),
        ("[policy]\ncapital = nan", r"capital = NaN is refused; give a number from 0.01 to"),
        ('[policy]\ncapital = "sNaN"', r'capital = "sNaN" is refused'),
        ("[policy]\ncapital = 2024-01-01", r"capital = 2024-01-01 is refused"),
        ("[policy]\nperformance_trades = 10.0", r"performance_trades = 10.0 is refused; give a whole number"),
        ("[policy]\nrisk_per_trade = 1", r"risk_per_trade = 1 is refused; give a number from 0.0001 to 0.2"),
        (f"[tick]\nlease_s = {'9' * 400}", r"lease_s = 9+\.\.\. is refused; give a whole number at least 10"),
        (f"[policy]\nthreshold = {'9' * 400}", r"threshold = 9+\.\.\. is refused"),
        ('[exchange]\nmode = "Live"', r'mode = "Live" is refused; give one of "paper", "live"'),
        ('[vix]\nsources = "cboe"', r'sources = "cboe" is refused; give a list, each one of "yfinance", "cboe"'),
        ("venue = 3", r"\[venue\] = 3 is refused; give a table"),
        ("training = 3", r"\[training\] = 3 is refused; give a table"),
        ("gate = 3", r"\[gate\] = 3 is refused; give a table"),
        ("books = 3", r"\[books\] = 3 is refused; give a list of tables"),
        ("books = [3]", r"\[books 1\] = 3 is refused; give a table"),
        ('books = [{id = "a"}]', r"\[books 1\] needs symbol"),
        ('books = [{id = "A", symbol = "BTC/JPY"}]', r'\[books 1\] id = "A" is refused; give lower-case letters'),
        ('books = [{id = "a\\n", symbol = "BTC/JPY"}]', r"\[books 1\] id = "),
        ('books = [{id = "a", symbol = "btc"}]', r'symbol = "btc" is refused; give a symbol as ccxt writes it'),
        ('books = [{id = "a", symbol = "A/B", timeframe = "1H"}]', r'timeframe = "1H" is refused; give a count'),
        ('books = [{id = "a", symbol = "A/B", policy = {x = 1}}]', r"there is no key \[books 1 policy\] x"),
        ('books = [{id = "a", symbol = "A/B", policy = 1}]', r"\[books 1\] policy = 1 is refused; give a table"),
        ("[serve\n", r"mine\.toml: is not TOML: .*line 1"),
    ],
)
def test_what_cannot_be_is_refused_with_key_place_and_advice(tmp_path: Path, text: str, said: str) -> None:
    assert re.search(said, problems(written(tmp_path, text)))


def test_a_bad_variable_is_named(empty: Path) -> None:
    text = problems(empty, HOURHAND__POLICY__THRESHOLD="much")
    assert 'environment variable HOURHAND__POLICY__THRESHOLD: [policy] threshold = "much" is refused' in text
    assert "did you mean threshold" in problems(empty, HOURHAND__POLICY__TRESHOLD="1")
    assert "write HOURHAND__SECTION__KEY" in problems(empty, HOURHAND__POLICY____X="1")


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = '[policy]\na = 1\nthreshold = 9\n[tick]\nlease_s = "x"\n[training]\nfolds = 0\nb = 2\n'
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path, text), {"HOURHAND__X__Y": "1"})
    keys = ("no section [x]", "[policy] a", "threshold = 9", "lease_s", "folds = 0", "[training] b")
    assert [key for key in keys if sum(key in problem for problem in caught.value.problems) != 1] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[policy]\nthreshold = 0.3", "threshold_min = 0.01, threshold = 0.3, threshold_max = 0.25"),
        ("[policy]\nvix_calm = 30", "vix_calm = 30, vix_risk_off = 25, vix_panic = 35"),
        ("[policy]\nvolatility_low = 2", "volatility_low = 2, volatility_high = 1.5"),
        ("[policy]\nperformance_low = 0.7", "performance_low = 0.7, performance_high = 0.6"),
        ("[policy]\nleverage = 3", "[policy] leverage = 3 is above [rules] leverage = 2"),
        ('books = [{id = "x", symbol = "A/B", policy = {leverage = 3}}]', "book x: [policy] leverage = 3 is above"),
        ('[market]\nsource = "files"', "[market] source = files needs [market] path"),
        ('[vix]\nsources = ["file"]', "needs [vix] path"),
        ('[vix]\nsources = ["cboe", "cboe"]', "names a source twice"),
        ('[state]\nbackend = "firestore"', "[state] backend = firestore needs [state] project"),
        ('[secrets]\nbackend = "gcp"', "[secrets] backend = gcp needs [state] project"),
        ('[models]\nbackend = "gcs"', "[models] backend = gcs needs [models] bucket"),
        ('[exchange]\nmode = "live"\n[market]\nsource = "simulated"', "real orders are decided on the venue's own"),
        ('[exchange]\nmode = "live"\n[vix]\nsources = ["simulated"]', "take simulated out of [vix] sources"),
        ('[exchange]\nmode = "live"\n[training]\npublish_anyway = true', "a refused model never trades real money"),
        ('[exchange]\nmode = "live"\n[venue]\nid = "kraken"', "orders can be sent to bitbank, bybit"),
        (
            'books = [{id = "a", symbol = "A/B"}, {id = "b", symbol = "A/B"}]\n[exchange]\nmode = "live"',
            "two books on one symbol",
        ),
        ('[venue.urls]\npublic = "https://me:word@example.com/x"', "an address with a password in it"),
        ('[venue.urls.v]\nprivate = "https://me:word@example.com"', "an address with a password in it"),
        ("books = []", "[[books]] is empty"),
        ('books = [{id = "global", symbol = "A/B"}]', "whose switch would be everyone's"),
        ('books = [{id = "x", symbol = "A/B"}, {id = "x", symbol = "C/D"}]', "two books with the id x"),
    ],
)
def test_contradictions_are_refused_in_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    assert said in problems(written(tmp_path, text))


def test_what_is_risky_but_allowed_is_said(tmp_path: Path) -> None:
    text = '[exchange]\nmode = "live"\n[tick]\nmax_lateness_s = 0\n[vix]\nsources = []\n'
    said = cautions(load(written(tmp_path, text), {}))
    assert [sentence.split(" = ")[0] for sentence in said[:2]] == ["[exchange] mode"] * 2
    assert "[vix] sources is empty" in said[2]
    assert cautions(load(ROOT / "config/paper.toml", {})) == []


def test_a_file_that_cannot_be_read_says_which_and_who_named_it(tmp_path: Path) -> None:
    absent = tmp_path / "absent.toml"
    assert f"{absent}: cannot be read (No such file or directory): correct --config" in problems(absent)
    with pytest.raises(SettingsError, match="correct the environment variable HOURHAND_CONFIG"):
        load(None, {"HOURHAND_CONFIG": str(tmp_path)})
    (tmp_path / "mine.toml").write_bytes(b"[policy]\n# \xff")
    assert "is not UTF-8 text (byte 11)" in problems(tmp_path / "mine.toml")


@given(
    st.text(max_size=30).filter(lambda text: "\0" not in text),
    st.sampled_from(["POLICY__THRESHOLD", "POLICY__CAPITAL", "VENUE__URLS", "BOOKS", "VIX__SOURCES", "TICK", "X"]),
)
def test_no_text_in_the_environment_raises_anything_but_a_settings_error(text: str, name: str) -> None:
    with suppress(SettingsError):
        load(ROOT / "config/paper.toml", {f"HOURHAND__{name}": text})


def test_a_tick_s_settings_do_not_import_what_only_training_needs() -> None:
    code = "import sys; from core.settings import load; load(None, {}); print('core.domain.ensemble' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
