# What is watched, told, shown and kept. `terraform test`, without a cloud. Each run plans everything, which takes its
# time: so there are few, and each varies several things that have nothing to do with one another.

mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}
override_resource {
  target          = google_monitoring_notification_channel.email
  override_during = plan
  values          = { name = "projects/test-project/notificationChannels/1" }
}

override_resource {
  target          = google_monitoring_notification_channel.incidents
  override_during = plan
  values          = { name = "projects/test-project/notificationChannels/2" }
}

override_resource {
  target          = google_logging_project_sink.bigquery
  override_during = plan
  values          = { writer_identity = "serviceAccount:sink@gcp-sa-logging.iam.gserviceaccount.com" }
}

mock_provider "archive" {}
mock_provider "time" {}

variables {
  project_id  = "test-project"
  alert_email = "me@example.com"
  docs_url    = "https://docs.example.com/hourhand"
  release     = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" # so that nothing is packed
}

run "paper_watches_all" {
  command = plan
  variables {
    environment = "paper"
  }

  assert {
    condition = toset(keys(google_monitoring_alert_policy.this)) == toset([
      "heartbeat", "trouble", "errors", "refusals", "overrun", "source", "dead_letters",
    ])
    error_message = "A policy is missing, or one has come without its section in docs/runbooks.md."
  }
  assert {
    condition     = toset(keys(local.told_at.all)) == toset(keys(google_monitoring_alert_policy.this)) && toset(keys(local.told_at.heartbeat)) == toset(["heartbeat"]) && length(local.told_at.none) == 0
    error_message = "`all` is all, `heartbeat` is one, `none` is none."
  }
  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.this : length(policy.conditions) == 1])
    error_message = "Google charges for each condition: one is enough."
  }
  assert {
    condition = alltrue([
      for policy in google_monitoring_alert_policy.this : alltrue([
        length(policy.documentation[0].content) > 80,
        startswith(policy.documentation[0].links[0].url, "${var.docs_url}/runbooks.md#"),
        strcontains(policy.documentation[0].content, policy.documentation[0].links[0].url),
        contains(["CRITICAL", "ERROR", "WARNING"], policy.severity),
      ])
    ])
    error_message = "Every policy says what it means, how bad it is, and where its runbook is."
  }
  assert {
    condition = alltrue([
      for policy in google_monitoring_alert_policy.this : policy.notification_channels == tolist([
        google_monitoring_notification_channel.email.name, google_monitoring_notification_channel.incidents.name,
      ])
    ])
    error_message = "Every policy tells by e-mail and by the function alert."
  }
  assert {
    condition     = google_monitoring_notification_channel.email.labels.email_address == "me@example.com" && google_monitoring_notification_channel.incidents.labels.topic == google_pubsub_topic.incidents.id
    error_message = "The channels lead to the address given and to the topic of incidents."
  }
  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.this : strcontains(policy.conditions[0].condition_threshold[0].filter, "hourhand-paper") && !strcontains(policy.conditions[0].condition_threshold[0].filter, "hourhand-live")])
    error_message = "A policy looks at another environment, or at all of them."
  }
  assert {
    condition     = alltrue([for metric in merge(google_logging_metric.counter, google_logging_metric.measured) : startswith(metric.name, "hourhand-paper/") && strcontains(metric.filter, "\"hourhand-paper-tick\"") && !strcontains(metric.filter, "hourhand-live")])
    error_message = "A metric counts lines of another environment."
  }
  assert {
    condition     = google_monitoring_alert_policy.this["trouble"].severity == "CRITICAL" && google_monitoring_alert_policy.this["trouble"].conditions[0].condition_threshold[0].threshold_value == 0
    error_message = "One book in trouble is enough to wake somebody."
  }
  assert {
    condition = alltrue([
      for condition in [google_monitoring_alert_policy.this["heartbeat"].conditions[0].condition_threshold[0]] : alltrue([
        condition.comparison == "COMPARISON_LT", condition.threshold_value == 1,
        condition.aggregations[0].alignment_period == "7200s",
        condition.evaluation_missing_data == "EVALUATION_MISSING_DATA_ACTIVE",
        !strcontains(condition.filter, "failed"), !strcontains(condition.filter, "busy"), strcontains(condition.filter, "stayed_out"),
      ])
    ])
    error_message = "Two hours in which no tick decided are told, also when nothing at all was written."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.this["errors"].conditions[0].condition_threshold[0].filter, "response_code!=\"503\"")
    error_message = "503 is what the loser of a claim answers; it is no error."
  }
  assert {
    condition     = strcontains(google_logging_metric.counter["overruns"].filter, "seconds>=96)") && strcontains(google_logging_metric.counter["overruns"].filter, "latency>=\"96s\"")
    error_message = "A tick nears its time-out at 80 % of the lease."
  }
  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.this.dashboard_json).mosaicLayout.tiles) == 15
    error_message = "A tile is missing."
  }
  assert {
    condition = alltrue([
      for type in regexall("metric\\.type=\\\\\"([^\\\\]+)\\\\\"", google_monitoring_dashboard.this.dashboard_json) : contains(concat(
        [for metric in merge(google_logging_metric.counter, google_logging_metric.measured) : "logging.googleapis.com/user/${metric.name}"],
        ["run.googleapis.com/request_count", "run.googleapis.com/container/billable_instance_time"],
      ), type[0])
    ]) && length(regexall("metric\\.type=", google_monitoring_dashboard.this.dashboard_json)) == 16
    error_message = "The dashboard draws a metric that nobody declares."
  }
  assert {
    condition = alltrue([
      for metric in concat(keys(google_logging_metric.counter), keys(google_logging_metric.measured)) :
      strcontains(google_monitoring_dashboard.this.dashboard_json, "logging.googleapis.com/user/hourhand-paper/${metric}\\\"")
    ])
    error_message = "A metric is measured and never shown."
  }
  assert {
    condition = alltrue(flatten([
      for i, a in jsondecode(google_monitoring_dashboard.this.dashboard_json).mosaicLayout.tiles : [
        for j, b in jsondecode(google_monitoring_dashboard.this.dashboard_json).mosaicLayout.tiles :
        j <= i || a.xPos + a.width <= b.xPos || b.xPos + b.width <= a.xPos || a.yPos + a.height <= b.yPos || b.yPos + b.height <= a.yPos
      ]
    ])) && alltrue([for tile in jsondecode(google_monitoring_dashboard.this.dashboard_json).mosaicLayout.tiles : tile.xPos + tile.width <= 48])
    error_message = "Tiles lie on one another, or beyond the page."
  }
  assert {
    condition = { for key, bucket in google_logging_project_bucket_config.this : key => bucket.retention_days } == {
      system = var.retention.system_log_days, debug = var.retention.debug_log_days, audit = var.retention.audit_log_days
    }
    error_message = "A log bucket keeps lines for another time than var.retention says."
  }
  assert {
    condition     = google_bigquery_dataset.logs.default_partition_expiration_ms == 31536000000 && google_bigquery_dataset.logs.location == var.region
    error_message = "The dataset lies in the region, and its partitions go after a year."
  }
  assert {
    condition     = one(google_logging_project_sink.bigquery.bigquery_options).use_partitioned_tables && google_logging_project_sink.bigquery.unique_writer_identity && google_bigquery_dataset_iam_member.sink.member == google_logging_project_sink.bigquery.writer_identity
    error_message = "The sink writes partitioned tables, as itself."
  }
  assert {
    condition     = google_logging_project_exclusion.default.filter == local.our_logs && alltrue([for key in ["system", "debug"] : startswith(google_logging_project_sink.bucket[key].filter, local.our_logs)])
    error_message = "What a sink takes into a bucket of ours is left out of _Default, and nothing else."
  }
  assert {
    condition     = strcontains(google_logging_project_sink.bucket["system"].filter, "NOT severity=DEBUG AND NOT ${local.said_audit}") && strcontains(google_logging_project_sink.bucket["debug"].filter, "AND severity=DEBUG AND NOT ${local.said_audit}") && startswith(google_logging_project_sink.bucket["audit"].filter, local.said_audit)
    error_message = "A line lands in two buckets."
  }
  assert {
    condition     = google_bigquery_dataset.logs.deletion_policy == "ABANDON" && !google_bigquery_dataset.logs.delete_contents_on_destroy && google_logging_project_bucket_config.this["audit"].deletion_policy == "ABANDON" && google_logging_project_bucket_config.this["system"].deletion_policy == "DELETE"
    error_message = "The audit log and the dataset outlive `terraform destroy`."
  }
}

run "live_in_two_regions_with_four_hour_bars_and_nothing_kept" {
  command = plan
  variables {
    docs_url          = ""
    github_repository = "you/hourhand"
    environment       = "live"
    real_money        = "I trade real money in test-project"
    second_region     = "asia-northeast2"
    tick_schedule     = "0 */4 * * *"
    lease_s           = 300
    keep_history      = false
    retention = {
      system_log_days = 14, debug_log_days = 3, audit_log_days = 400, backup_days = 30, backup_weeks = 12, images = 5, source_days = 30
    }
  }

  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.this : startswith(policy.documentation[0].links[0].url, "https://github.com/you/hourhand/blob/main/docs/runbooks.md#")])
    error_message = "docs/ is read in the repository that deploys."
  }
  assert {
    condition     = length(google_monitoring_alert_policy.this) == 7 && alltrue([for policy in google_monitoring_alert_policy.this : strcontains(policy.conditions[0].condition_threshold[0].filter, "hourhand-live") && !strcontains(policy.conditions[0].condition_threshold[0].filter, "hourhand-paper")])
    error_message = "A policy of live looks elsewhere."
  }
  assert {
    condition     = alltrue([for metric in merge(google_logging_metric.counter, google_logging_metric.measured) : strcontains(metric.filter, "\"hourhand-live-tick\"") && !strcontains(metric.filter, "hourhand-paper")])
    error_message = "A metric of live counts lines of another environment."
  }
  assert {
    condition     = alltrue([for sink in google_logging_project_sink.bucket : strcontains(sink.filter, "hourhand-live-") && !strcontains(sink.filter, "hourhand-paper")])
    error_message = "A sink of live takes lines of another environment."
  }
  assert {
    condition     = length(local.services) == 6 && length(distinct(local.services)) == 6
    error_message = "A function has the same name in both regions, and is named once."
  }
  assert {
    condition     = google_monitoring_alert_policy.this["heartbeat"].conditions[0].condition_threshold[0].aggregations[0].alignment_period == "28800s" && google_monitoring_alert_policy.this["refusals"].conditions[0].condition_threshold[0].aggregations[0].alignment_period == "57600s"
    error_message = "A book of four-hour bars is silent for four hours each time."
  }
  assert {
    condition     = strcontains(google_logging_metric.counter["overruns"].filter, "latency>=\"240s\"")
    error_message = "The limit follows the lease."
  }
  assert {
    condition     = google_bigquery_dataset.logs.deletion_policy == "DELETE" && google_bigquery_dataset.logs.delete_contents_on_destroy && google_logging_project_bucket_config.this["audit"].deletion_policy == "DELETE"
    error_message = "Without keep_history everything goes."
  }
  assert {
    condition     = google_logging_project_bucket_config.this["audit"].retention_days == 400 && google_logging_project_bucket_config.this["debug"].retention_days == 3 && google_bigquery_dataset.logs.default_partition_expiration_ms == 34560000000
    error_message = "Retention follows the variable."
  }
}

run "heartbeat_is_the_least_also_with_daily_bars" {
  command = plan
  variables {
    docs_url       = ""
    environment    = "paper"
    alert_policies = "heartbeat"
    tick_schedule  = "0 0 * * *"
  }

  assert {
    condition = alltrue([for policy in google_monitoring_alert_policy.this : alltrue([
      length(policy.documentation[0].links) == 0, strcontains(policy.documentation[0].content, "docs/runbooks.md#"),
    ])])
    error_message = "Where nobody said where docs/ is read, a policy names the file and links to nothing."
  }
  assert {
    condition     = toset(keys(google_monitoring_alert_policy.this)) == toset(["heartbeat"])
    error_message = "`heartbeat` is one condition."
  }
  assert {
    condition     = google_monitoring_alert_policy.this["heartbeat"].conditions[0].condition_threshold[0].aggregations[0].alignment_period == "90000s" && local.policies.refusals.window_s == 86400 && local.policies.refusals.above == 0
    error_message = "A condition looks back 25 hours at most."
  }
}
