-- Why did it not trade? Decisions that opened nothing, by day, book and reason, with the hours (UTC) in which they were
-- made and the newest explanation in words. What a reason means: hourhand explain, and docs/the_way_of_a_bar.md.
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
    JSON_VALUE(line, '$.reason') AS reason,
    JSON_VALUE(line, '$.mode') AS mode,
    JSON_VALUE(line, '$.explanation') AS explanation
  FROM lines
  WHERE JSON_VALUE(line, '$.logger') = 'hourhand.metrics'
    AND JSON_VALUE(line, '$.event') = 'tick'
    AND JSON_VALUE(line, '$.outcome') IN ('refused', 'stayed_out', 'halted')
)
SELECT
  DATE(timestamp) AS day,
  book,
  outcome,
  reason,
  mode,
  COUNT(*) AS ticks,
  STRING_AGG(FORMAT_TIMESTAMP('%H', timestamp), ' ' ORDER BY timestamp) AS hours,
  MAX_BY(explanation, timestamp) AS explanation
FROM ticks
GROUP BY day, book, outcome, reason, mode
ORDER BY day DESC, book, ticks DESC;
