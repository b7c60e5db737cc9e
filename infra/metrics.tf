# What is counted and measured: log-based metrics, from one structured line for each answer of a function and each book
# (core/flows/measures.py names the fields). The functions call no metrics API. docs/watching.md lists all of it.

locals {
  functions_named = merge(
    { for key, function in google_cloudfunctions2_function.this : key => function.name },
    { for key, function in google_cloudfunctions2_function.second : key => function.name }, # the same names
  )
  services = sort(values(local.functions_named))

  ours  = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(${join(" OR ", formatlist("\"%s\"", local.services))})"
  lines = "${local.ours} AND jsonPayload.logger=\"hourhand.metrics\""

  counters = {
    ticks = {
      about  = "Ticks, by book and outcome. A bar that was decided counts once; a later call for it is `repeated`."
      filter = "${local.lines} AND jsonPayload.event=\"tick\""
      labels = ["book", "outcome"]
    }
    refusals = {
      about  = "Ticks that took no new risk, by book and reason."
      filter = "${local.lines} AND jsonPayload.event=\"tick\" AND jsonPayload.outcome=\"refused\""
      labels = ["book", "reason"]
    }
    findings = {
      about  = "Runs of the guard that found something, by book and outcome."
      filter = "${local.lines} AND jsonPayload.event=\"guard\" AND NOT jsonPayload.reason=\"nothing_found\""
      labels = ["book", "outcome"]
    }
    jobs = {
      about  = "Trainings and cleanups, by outcome."
      filter = "${local.lines} AND jsonPayload.event=(\"train\" OR \"cleanup\")"
      labels = ["event", "outcome"]
    }
    sources = {
      about  = "Data sources that failed when they were asked."
      filter = "${local.lines} AND jsonPayload.event=\"source\""
      labels = ["series", "source"]
    }
    trouble = {
      about  = "Books that halted themselves, and orders whose outcome stays unknown."
      filter = "${local.lines} AND jsonPayload.event=\"trouble\""
      labels = ["book", "kind"]
    }
    overruns = {
      about = "Ticks and guards that took 80 % of their time or more: of one book by its own line, of a whole request, also of one that was cut off, by Cloud Run's."
      filter = join(" AND ", [
        "resource.type=\"cloud_run_revision\"",
        "resource.labels.service_name=(\"${local.functions_named["tick"]}\" OR \"${local.functions_named["guard"]}\")",
        "((jsonPayload.logger=\"hourhand.metrics\" AND jsonPayload.seconds>=${local.overrun_s}) OR httpRequest.latency>=\"${local.overrun_s}s\")",
      ])
      labels = []
    }
  }
  overrun_s = floor(0.8 * var.lease_s)

  # Bounds are for pictures of the distribution only: means are exact.
  measured = {
    seconds        = { of = "all", unit = "s", by = "event", bounds = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 40, 60, 90, 120, 300, 600, 1800] }
    equity         = { of = "tick", unit = "1", by = "book", bounds = [0, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000] }
    exposure       = { of = "tick", unit = "1", by = "book", bounds = [0, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3] }
    position       = { of = "tick", unit = "1", by = "book", bounds = [-10, -1, -0.1, -0.01, 0, 0.01, 0.1, 1, 10] }
    model_age_days = { of = "tick", unit = "d", by = "book", bounds = [0, 1, 3, 7, 8, 14, 21, 30, 60] }
    vix            = { of = "tick", unit = "1", by = "vix_regime", bounds = [10, 15, 20, 25, 30, 35, 50, 80] }
  }

  metric_type = { for key in concat(keys(local.counters), keys(local.measured)) : key => "logging.googleapis.com/user/${local.name}/${key}" }
}

resource "google_logging_metric" "counter" {
  for_each         = local.counters
  name             = "${local.name}/${each.key}"
  description      = each.value.about
  filter           = each.value.filter
  label_extractors = { for label in each.value.labels : label => "EXTRACT(jsonPayload.${label})" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    dynamic "labels" {
      for_each = toset(each.value.labels)
      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }
  depends_on = [google_project_service.this]
}

resource "google_logging_metric" "measured" {
  for_each         = local.measured
  name             = "${local.name}/${each.key}"
  description      = "jsonPayload.${each.key}, by ${each.value.by}."
  filter           = "${local.lines}${each.value.of == "all" ? "" : " AND jsonPayload.event=\"${each.value.of}\""} AND jsonPayload.${each.key}:*"
  value_extractor  = "EXTRACT(jsonPayload.${each.key})"
  label_extractors = { (each.value.by) = "EXTRACT(jsonPayload.${each.value.by})" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = each.value.unit

    labels {
      key        = each.value.by
      value_type = "STRING"
    }
  }

  bucket_options {
    explicit_buckets {
      bounds = each.value.bounds
    }
  }
  depends_on = [google_project_service.this]
}
