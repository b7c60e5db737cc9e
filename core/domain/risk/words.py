"""Shares and money as breakers tell them."""

from __future__ import annotations

from decimal import Decimal


def percent(share: float | Decimal) -> str:
    return f"{float(share) * 100:.3g} %"


def money(amount: Decimal | float) -> str:
    number = float(amount)
    return f"{number:,.2f}".removesuffix(".00") if abs(number) >= 100 else f"{number:.6g}"
