# What wakes the functions, and how often it tries again.

locals {
  # A request may take a little longer than the function itself: a cold start, the way there and back.
  on_the_way_s = 10
  backoff_s    = 25 # before the first retry; twice as long before each further one

  # As many retries of a tick as begin before it would be too late for new risk ([tick] max_lateness_s), if every try
  # takes all of its time. 503 (busy: another region or a forced tick is at work) and 500 are tried again.
  # 0 means no limit, for replays; then half an hour is one.
  in_time_s = min(local.max_lateness_s == 0 ? 1800 : local.max_lateness_s, 1800)
  tick_retries = max([for tries in range(6) : tries
  if tries * (var.lease_s + local.on_the_way_s) + local.backoff_s * (pow(2, tries) - 1) < local.in_time_s]...)

  # cleanup: the first Sunday of a month cannot be said in unix-cron, which takes either of two given days. Cloud
  # Scheduler reads the English-like words of App Engine's cron as well. Should it cease to: "0 2 1-7 * *", which is seven
  # times a month instead of once, does no harm.
  # https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs#Job.FIELDS.schedule
  # alert: what is held back, or could not be told, needs a call once it is due.
  schedules = {
    tick    = { cron = var.tick_schedule, zone = "Etc/UTC", retries = local.tick_retries, backoff_s = local.backoff_s }
    guard   = { cron = var.guard_schedule, zone = "Etc/UTC", retries = 0, backoff_s = 5 } # the next minute is the retry
    train   = { cron = "0 18 * * 0", zone = "Asia/Tokyo", retries = 2, backoff_s = 300 }
    cleanup = { cron = "1st sunday of month 02:00", zone = "Asia/Tokyo", retries = 2, backoff_s = 300 }
    alert   = { cron = "*/5 * * * *", zone = "Etc/UTC", retries = 1, backoff_s = 30 }
  }

  # Cloud Scheduler waits 30 minutes at most.
  deadline_s = { for name, function in local.functions : name => min(function.timeout_s + local.on_the_way_s, 1800) }
}

resource "google_cloud_scheduler_job" "this" {
  for_each         = local.schedules
  name             = "${local.name}-${each.key}"
  description      = local.functions[each.key].says
  region           = var.region
  schedule         = each.value.cron
  time_zone        = each.value.zone
  attempt_deadline = "${local.deadline_s[each.key]}s"

  retry_config {
    retry_count          = each.value.retries
    min_backoff_duration = "${each.value.backoff_s}s"
    max_backoff_duration = "3600s"
    max_doublings        = 5
  }

  http_target {
    uri         = google_cloudfunctions2_function.this[each.key].service_config[0].uri
    http_method = "POST"
    oidc_token {
      service_account_email = google_service_account.scheduler.email
      audience              = google_cloudfunctions2_function.this[each.key].service_config[0].uri
    }
  }

  lifecycle {
    precondition {
      condition     = local.deadline_s[each.key] >= local.functions[each.key].timeout_s
      error_message = "The scheduler would give ${each.key} up, and call it again, while it is still at work."
    }
  }
  depends_on = [google_cloud_run_v2_service_iam_member.scheduler]
}

# Both regions' schedulers fire at the same time. Whoever comes second is told "busy", tries again, and is told "done".
resource "google_cloud_scheduler_job" "second" {
  for_each         = google_cloudfunctions2_function.second
  name             = "${local.name}-${each.key}"
  description      = "${local.functions[each.key].says} The second region."
  region           = var.second_region
  schedule         = local.schedules[each.key].cron
  time_zone        = local.schedules[each.key].zone
  attempt_deadline = "${local.deadline_s[each.key]}s"

  retry_config {
    retry_count          = local.schedules[each.key].retries
    min_backoff_duration = "${local.schedules[each.key].backoff_s}s"
    max_backoff_duration = "3600s"
    max_doublings        = 5
  }

  http_target {
    uri         = each.value.service_config[0].uri
    http_method = "POST"
    oidc_token {
      service_account_email = google_service_account.scheduler.email
      audience              = each.value.service_config[0].uri
    }
  }
  depends_on = [google_cloud_run_v2_service_iam_member.scheduler_second]
}
