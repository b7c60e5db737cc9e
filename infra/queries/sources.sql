-- Which source failed, when, and what did it say? By day, series and source: how often, from when
-- to when, and the newest reason.
WITH lines AS (
  SELECT timestamp, TO_JSON_STRING(jsonPayload) AS line
  FROM run_googleapis_com_stdout
  WHERE timestamp >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL @days DAY)
)
SELECT
  DATE(timestamp) AS day,
  JSON_VALUE(line, '$.series') AS series,
  JSON_VALUE(line, '$.source') AS source,
  COUNT(*) AS failures,
  MIN(timestamp) AS first_time,
  MAX(timestamp) AS last_time,
  MAX_BY(JSON_VALUE(line, '$.reason'), timestamp) AS reason
FROM lines
WHERE JSON_VALUE(line, '$.logger') = 'hourhand.metrics'
  AND JSON_VALUE(line, '$.event') = 'source'
GROUP BY day, series, source
ORDER BY day DESC, failures DESC;
