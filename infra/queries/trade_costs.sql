-- What did each trade cost? Log lines hold equity and the price that was decided on, not fills: so the cost is what the
-- equity fell short of from one tick to the next, beside what the position earned by the price's move. It holds fees,
-- slippage, the gap until the fill, and interest; and, in an hour in which a stop was hit or you moved money, those too.
-- An hour after which the book traded again is left out. Fill by fill, exactly: hourhand explain BOOK BAR.
WITH lines AS (
  SELECT timestamp, TO_JSON_STRING(jsonPayload) AS line
  FROM run_googleapis_com_stdout
  WHERE timestamp >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL @days DAY)
),
ticks AS (
  SELECT
    timestamp,
    JSON_VALUE(line, '$.book') AS book,
    JSON_VALUE(line, '$.bar') AS bar,
    JSON_VALUE(line, '$.outcome') AS outcome,
    JSON_VALUE(line, '$.action') AS action,
    CAST(JSON_VALUE(line, '$.price') AS FLOAT64) AS price,
    CAST(JSON_VALUE(line, '$.equity') AS FLOAT64) AS equity,
    CAST(JSON_VALUE(line, '$.position') AS FLOAT64) AS position
  FROM lines
  WHERE JSON_VALUE(line, '$.logger') = 'hourhand.metrics'
    AND JSON_VALUE(line, '$.event') = 'tick'
    AND JSON_VALUE(line, '$.equity') IS NOT NULL
    AND JSON_VALUE(line, '$.price') IS NOT NULL
),
hours AS (
  SELECT
    *,
    LAG(position) OVER (PARTITION BY book ORDER BY bar, timestamp) AS held_before,
    LEAD(position) OVER (PARTITION BY book ORDER BY bar, timestamp) AS held_after,
    LEAD(price) OVER (PARTITION BY book ORDER BY bar, timestamp) AS next_price,
    LEAD(equity) OVER (PARTITION BY book ORDER BY bar, timestamp) AS next_equity,
    LEAD(outcome) OVER (PARTITION BY book ORDER BY bar, timestamp) AS next_outcome
  FROM ticks
),
trades AS (
  SELECT
    *,
    held_after * (next_price - price) - (next_equity - equity) AS cost,
    ABS(held_after - held_before) * price AS worth
  FROM hours
  WHERE outcome = 'traded' AND next_outcome != 'traded' AND held_after != held_before
)
SELECT
  bar,
  book,
  action,
  held_before,
  held_after,
  price,
  ROUND(cost, 4) AS cost,
  ROUND(10000 * SAFE_DIVIDE(cost, worth), 1) AS cost_basis_points
FROM trades
ORDER BY bar DESC, book;
