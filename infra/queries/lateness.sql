-- How late and how slow are ticks? By day: how long after its close a bar was decided, how long the work took, and how
-- many came near their time-out (80 % of limit_s), were repeated, or found another one at it. Of the guard only those runs
-- are here that found something.
WITH lines AS (
  SELECT timestamp, TO_JSON_STRING(jsonPayload) AS line
  FROM run_googleapis_com_stdout
  WHERE timestamp >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL @days DAY)
),
ticks AS (
  SELECT
    timestamp,
    JSON_VALUE(line, '$.event') AS event,
    JSON_VALUE(line, '$.outcome') AS outcome,
    CAST(JSON_VALUE(line, '$.seconds') AS FLOAT64) AS seconds,
    CAST(JSON_VALUE(line, '$.limit_s') AS FLOAT64) AS limit_s,
    CAST(JSON_VALUE(line, '$.lateness_s') AS FLOAT64) AS lateness_s
  FROM lines
  WHERE JSON_VALUE(line, '$.logger') = 'hourhand.metrics'
    AND JSON_VALUE(line, '$.event') IN ('tick', 'guard')
)
SELECT
  DATE(timestamp) AS day,
  event,
  COUNT(*) AS answers,
  ROUND(APPROX_QUANTILES(lateness_s, 100)[OFFSET(50)], 1) AS lateness_s_median,
  ROUND(APPROX_QUANTILES(lateness_s, 100)[OFFSET(99)], 1) AS lateness_s_99,
  ROUND(APPROX_QUANTILES(seconds, 100)[OFFSET(50)], 1) AS seconds_median,
  ROUND(APPROX_QUANTILES(seconds, 100)[OFFSET(99)], 1) AS seconds_99,
  COUNTIF(seconds >= 0.8 * limit_s) AS near_time_out,
  COUNTIF(outcome = 'repeated') AS repeated,
  COUNTIF(outcome IN ('busy', 'superseded')) AS busy,
  COUNTIF(outcome = 'failed') AS failed
FROM ticks
GROUP BY day, event
ORDER BY day DESC, event;
