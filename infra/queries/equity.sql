-- What happened with my money? Each book's equity, day by day (UTC): first, last, lowest, highest, the day's change in
-- percent, trades, and what it held at the end. Quote currency; equity is marked at each bar's close.
WITH lines AS (
  SELECT timestamp, TO_JSON_STRING(jsonPayload) AS line
  FROM run_googleapis_com_stdout
  WHERE timestamp >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL @days DAY)
),
ticks AS (
  SELECT
    timestamp,
    JSON_VALUE(line, '$.book') AS book,
    JSON_VALUE(line, '$.outcome') AS outcome,
    CAST(JSON_VALUE(line, '$.equity') AS FLOAT64) AS equity,
    CAST(JSON_VALUE(line, '$.position') AS FLOAT64) AS position
  FROM lines
  WHERE JSON_VALUE(line, '$.logger') = 'hourhand.metrics'
    AND JSON_VALUE(line, '$.event') = 'tick'
    AND JSON_VALUE(line, '$.equity') IS NOT NULL
)
SELECT
  DATE(timestamp) AS day,
  book,
  MIN_BY(equity, timestamp) AS first_equity,
  MAX_BY(equity, timestamp) AS last_equity,
  MIN(equity) AS lowest,
  MAX(equity) AS highest,
  ROUND(100 * SAFE_DIVIDE(MAX_BY(equity, timestamp), MIN_BY(equity, timestamp)) - 100, 3) AS change_percent,
  COUNTIF(outcome = 'traded') AS traded,
  MAX_BY(position, timestamp) AS position
FROM ticks
GROUP BY day, book
ORDER BY day DESC, book;
