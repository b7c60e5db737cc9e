# One page to look at. Widgets name metrics by local.metric_type, so that one that is not declared is an error here.

locals {
  # kind: LINE or STACKED_BAR. A series: the metric, what it is filtered by, how points of a series and then series are put
  # together, by which label, over how many seconds. lines: thresholds that are drawn.
  charts = [
    {
      title  = "Ticks by outcome"
      kind   = "STACKED_BAR"
      series = [{ metric = local.metric_type["ticks"], align = "ALIGN_SUM", reduce = "REDUCE_SUM", by = ["metric.label.outcome"] }]
    },
    {
      title  = "Refusals by reason"
      kind   = "STACKED_BAR"
      series = [{ metric = local.metric_type["refusals"], align = "ALIGN_SUM", reduce = "REDUCE_SUM", by = ["metric.label.reason"] }]
    },
    {
      title  = "Seconds of a tick and a guard (95th percentile)"
      kind   = "LINE"
      series = [{ metric = local.metric_type["seconds"], align = "ALIGN_DELTA", reduce = "REDUCE_PERCENTILE_95", by = ["metric.label.event"], filter = "metric.labels.event=one_of(\"tick\",\"guard\")" }]
      lines  = [{ label = "80 % of the time-out", value = local.overrun_s }]
    },
    {
      title  = "Equity, by book"
      kind   = "LINE"
      series = [{ metric = local.metric_type["equity"], align = "ALIGN_DELTA", reduce = "REDUCE_MEAN", by = ["metric.label.book"] }]
    },
    {
      title  = "Exposure, by book (worth of the position over equity)"
      kind   = "LINE"
      series = [{ metric = local.metric_type["exposure"], align = "ALIGN_DELTA", reduce = "REDUCE_MEAN", by = ["metric.label.book"] }]
    },
    {
      title  = "Position, by book (base coin; short is negative)"
      kind   = "LINE"
      series = [{ metric = local.metric_type["position"], align = "ALIGN_DELTA", reduce = "REDUCE_MEAN", by = ["metric.label.book"] }]
    },
    {
      title  = "VIX, by regime"
      kind   = "LINE"
      series = [{ metric = local.metric_type["vix"], align = "ALIGN_DELTA", reduce = "REDUCE_MEAN", by = ["metric.label.vix_regime"] }]
    },
    {
      title  = "Age of the model, days"
      kind   = "LINE"
      series = [{ metric = local.metric_type["model_age_days"], align = "ALIGN_DELTA", reduce = "REDUCE_MEAN", by = ["metric.label.book"] }]
      lines  = [{ label = "a training was missed", value = 8 }]
    },
    {
      title  = "Trainings and cleanups"
      kind   = "STACKED_BAR"
      series = [{ metric = local.metric_type["jobs"], align = "ALIGN_SUM", reduce = "REDUCE_SUM", by = ["metric.label.event", "metric.label.outcome"] }]
    },
    {
      title  = "Errors: answers of 5xx, by function and code (503 is busy)"
      kind   = "STACKED_BAR"
      series = [{ metric = "run.googleapis.com/request_count", align = "ALIGN_SUM", reduce = "REDUCE_SUM", by = ["resource.label.service_name", "metric.label.response_code"], filter = "${local.served} AND metric.labels.response_code_class=\"5xx\"" }]
    },
    {
      title = "Trouble, overruns and findings of the guard"
      kind  = "STACKED_BAR"
      series = [
        { metric = local.metric_type["trouble"], align = "ALIGN_SUM", reduce = "REDUCE_SUM", by = ["metric.label.kind"], legend = "trouble: $${metric.labels.kind}" },
        { metric = local.metric_type["overruns"], align = "ALIGN_SUM", reduce = "REDUCE_SUM", by = ["resource.label.service_name"], legend = "overrun: $${resource.labels.service_name}" },
        { metric = local.metric_type["findings"], align = "ALIGN_SUM", reduce = "REDUCE_SUM", by = ["metric.label.book"], legend = "guard: $${metric.labels.book}" },
      ]
    },
    {
      title  = "Data sources that failed"
      kind   = "STACKED_BAR"
      series = [{ metric = local.metric_type["sources"], align = "ALIGN_SUM", reduce = "REDUCE_SUM", by = ["metric.label.series", "metric.label.source"] }]
    },
    {
      title  = "Cost: seconds of instances that are billed, a day, by function"
      kind   = "STACKED_BAR"
      series = [{ metric = "run.googleapis.com/container/billable_instance_time", align = "ALIGN_SUM", reduce = "REDUCE_SUM", by = ["resource.label.service_name"], filter = local.served, every_s = 86400 }]
    },
    {
      title  = "Cost: requests a day, by function"
      kind   = "STACKED_BAR"
      series = [{ metric = "run.googleapis.com/request_count", align = "ALIGN_SUM", reduce = "REDUCE_SUM", by = ["resource.label.service_name"], filter = local.served, every_s = 86400 }]
    },
  ]
  served = "resource.labels.service_name=${local.services_named}"

  notes = {
    title   = "What this shows"
    content = <<-TEXT
      **${local.name}**, hour by hour; times are those of your browser. What to do about it: [runbooks](${local.docs}/runbooks.md).
      Questions in SQL and where log lines are: [watching](${local.docs}/watching.md).
      **Cost**: Monitoring sees time and requests, not money. The bill itself is in Billing, *Reports*, filtered by the labels
      app=hourhand and environment=${var.environment}; what to expect: [cost](${local.docs}/cost.md).
    TEXT
  }

  # Three charts in a row of 48 columns, below the text.
  chart_tiles = [for i, chart in local.charts : {
    xPos   = 16 * (i % 3)
    yPos   = 8 + 16 * floor(i / 3)
    width  = 16
    height = 16
    widget = {
      title = chart.title
      xyChart = {
        chartOptions = { mode = "COLOR" }
        thresholds   = try(chart.lines, [])
        yAxis        = { scale = "LINEAR" }
        dataSets = [for series in chart.series : merge(
          {
            plotType           = chart.kind
            targetAxis         = "Y1"
            minAlignmentPeriod = "${try(series.every_s, 3600)}s"
            timeSeriesQuery = {
              timeSeriesFilter = {
                filter = join(" AND ", compact(["metric.type=\"${series.metric}\"", "resource.type=\"cloud_run_revision\"", try(series.filter, "")]))
                aggregation = {
                  alignmentPeriod    = "${try(series.every_s, 3600)}s"
                  perSeriesAligner   = series.align
                  crossSeriesReducer = series.reduce
                  groupByFields      = series.by
                }
              }
            }
          },
          try({ legendTemplate = series.legend }, {}),
        )]
      }
    }
  }]
}

resource "google_monitoring_dashboard" "this" {
  dashboard_json = jsonencode({
    displayName = local.name
    mosaicLayout = {
      columns = 48
      tiles = concat(
        [{ xPos = 0, yPos = 0, width = 48, height = 8, widget = { title = local.notes.title, text = { content = local.notes.content, format = "MARKDOWN" } } }],
        local.chart_tiles,
      )
    }
  })
  depends_on = [google_logging_metric.counter, google_logging_metric.measured]
}
