"""What must hold between settings, beyond the range of each."""

from __future__ import annotations

from core.domain.risk import Policy
from core.domain.state import Book
from core.settings.sections import Settings

LIVE = ("bitbank", "bybit", "okx", "bitget", "bittrade", "bitflyer")
SANDBOXES = ("bybit", "okx", "bitget")


def contradictions(settings: Settings) -> list[str]:
    """A sentence for each pair of settings that cannot both stand."""
    checks = [*_urls(settings), *_places(settings), *_live(settings), *_books(settings)]
    return [sentence for wrong, sentence in checks if wrong]


def cautions(settings: Settings) -> list[str]:
    """A sentence for each setting that is allowed and still deserves a second look."""
    live = settings.exchange.mode == "live"
    checks = [
        (
            live and settings.state.backend == "sqlite",
            "[exchange] mode = live with [state] backend = sqlite: fine on one machine with a lasting disk; a function "
            "in the cloud loses its disk, use firestore there",
        ),
        (
            live and settings.tick.max_lateness_s == 0,
            "[exchange] mode = live with [tick] max_lateness_s = 0: a tick of any age may open a position",
        ),
        (
            len({book.symbol.partition("/")[2] for book in settings.books}) > 1,
            "[[books]] in more than one quote currency: [account] adds them up as if they were one",
        ),
        (
            not settings.vix.sources,
            "[vix] sources is empty: every decision is made with the VIX unknown, at a higher threshold",
        ),
    ]
    return [sentence for worth_saying, sentence in checks if worth_saying]


def _urls(settings: Settings) -> list[tuple[bool, str]]:
    """An address stands in logs and records when it does not answer, so nothing secret may stand in it."""
    texts = [
        text
        for value in settings.venue.urls.values()
        for text in (value.values() if isinstance(value, dict) else [value])
    ]
    secret = any("@" in text.partition("//")[2].partition("/")[0] for text in texts)
    return [(secret, "[venue] urls has an address with a password in it: it would show in records; leave it out")]


def _places(settings: Settings) -> list[tuple[bool, str]]:
    market, vix, state, models = settings.market, settings.vix, settings.state, settings.models
    project = "[state] project, or the environment variable GOOGLE_CLOUD_PROJECT"
    return [
        (market.source == "files" and not market.path, "[market] source = files needs [market] path"),
        ("file" in vix.sources and not vix.path, "[vix] sources with file needs [vix] path"),
        (len(set(vix.sources)) < len(vix.sources), "[vix] sources names a source twice"),
        (_from_files(settings) and not settings.outside.path, "[outside] with a series from file needs [outside] path"),
        (state.backend == "firestore" and not state.project, f"[state] backend = firestore needs {project}"),
        (settings.secrets.backend == "gcp" and not state.project, f"[secrets] backend = gcp needs {project}"),
        (models.backend == "gcs" and not models.bucket, "[models] backend = gcs needs [models] bucket"),
    ]


def _from_files(settings: Settings) -> bool:
    chosen = settings.outside
    series = (chosen.dxy, chosen.us10y, chosen.usdjpy, chosen.fear_greed, chosen.funding)
    return any("file" in sources for sources in series)


def _live(settings: Settings) -> list[tuple[bool, str]]:
    live = settings.exchange.mode == "live"
    return [
        (
            live and settings.market.source != "venue",
            f"[exchange] mode = live with [market] source = {settings.market.source}: real orders are decided on the "
            "venue's own prices only, set source = venue",
        ),
        (
            live and "simulated" in settings.vix.sources,
            "[exchange] mode = live with a simulated VIX: take simulated out of [vix] sources",
        ),
        (
            live and settings.training.publish_anyway,
            "[exchange] mode = live with [training] publish_anyway = true: a refused model never trades real money",
        ),
        (
            live and settings.venue.id not in LIVE,
            f"[exchange] mode = live with [venue] id = {settings.venue.id}: orders can be sent to {', '.join(LIVE)}",
        ),
        (
            live and not all(book.policy.daily_loss and book.policy.drawdown for book in settings.books),
            "[exchange] mode = live with [policy] daily_loss or drawdown = 0: real money is never traded without them",
        ),
        (
            live and settings.exchange.sandbox and settings.venue.id not in SANDBOXES,
            f"[exchange] sandbox = true, and {settings.venue.id} has none: only {', '.join(SANDBOXES)} do",
        ),
        (
            live and len({book.symbol for book in settings.books}) < len(settings.books),
            "[exchange] mode = live with two books on one symbol: the venue keeps one position for both, and neither "
            "could tell its own",
        ),
    ]


def _books(settings: Settings) -> list[tuple[bool, str]]:
    names = [book.id for book in settings.books]
    twice = sorted({name for name in names if names.count(name) > 1})
    checks = [
        (not names, "[[books]] is empty: give at least one, with id and symbol"),
        (
            "global" in names,
            "[[books]] has a book with the id global, whose switch would be everyone's: name it otherwise",
        ),
        (bool(twice), f"[[books]] has two books with the id {', '.join(twice)}: their state would be one"),
    ]
    for book in settings.books:
        checks += _policy(book, settings)
    return checks


def _policy(book: Book, settings: Settings) -> list[tuple[bool, str]]:
    policy, most = book.policy, settings.rules.leverage
    rising = [
        ("threshold_min", "threshold", "threshold_max"),
        ("volatility_low", "volatility_high", "crisis_volatility"),
        ("performance_low", "performance_high"),
        ("vix_calm", "vix_risk_off", "vix_panic"),
    ]
    stages = list(policy.capital_stages)
    return [
        (
            stages != sorted(set(stages)) or bool(stages and stages[0] <= 0),
            f"book {book.id}: [policy] capital_stages must be above 0 and each more than the one before",
        ),
        (
            policy.stage > max(len(stages), 1),
            f"book {book.id}: [policy] stage = {policy.stage}, and capital_stages has {len(stages)}",
        ),
        *(
            (not _rises(policy, keys), f"book {book.id}: {_say(policy, keys)}: each must be at most the next")
            for keys in rising
        ),
        (
            policy.leverage > most,
            f"book {book.id}: [policy] leverage = {policy.leverage} is above [rules] leverage = {most}, the venue's",
        ),
    ]


def _rises(policy: Policy, keys: tuple[str, ...]) -> bool:
    values = [getattr(policy, key) for key in keys]
    return values == sorted(values)


def _say(policy: Policy, keys: tuple[str, ...]) -> str:
    return "[policy] " + ", ".join(f"{key} = {getattr(policy, key):g}" for key in keys)
