-- Who stopped it, who resumed it, and what was wrong? Flipped switches as the guard saw them, and books in trouble.
WITH lines AS (
  SELECT timestamp, TO_JSON_STRING(jsonPayload) AS line
  FROM run_googleapis_com_stdout
  WHERE timestamp >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL @days DAY)
)
SELECT
  timestamp,
  JSON_VALUE(line, '$.event') AS event,
  JSON_VALUE(line, '$.book') AS book,
  COALESCE(JSON_VALUE(line, '$.mode'), JSON_VALUE(line, '$.kind')) AS what,
  JSON_VALUE(line, '$.by') AS who,
  JSON_VALUE(line, '$.reason') AS reason
FROM lines
WHERE (JSON_VALUE(line, '$.logger') = 'hourhand.audit' AND JSON_VALUE(line, '$.event') = 'switch')
  OR (JSON_VALUE(line, '$.logger') = 'hourhand.metrics' AND JSON_VALUE(line, '$.event') = 'trouble')
ORDER BY timestamp DESC;
