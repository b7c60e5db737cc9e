-- What was changed in the cloud, and by whom? Deployments, schedules, secrets, buckets and rights of this environment.
SELECT
  timestamp,
  protopayload_auditlog.authenticationInfo.principalEmail AS who,
  protopayload_auditlog.methodName AS what,
  protopayload_auditlog.resourceName AS whereof,
  protopayload_auditlog.status.message AS error
FROM cloudaudit_googleapis_com_activity
WHERE timestamp >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL @days DAY)
ORDER BY timestamp DESC;
