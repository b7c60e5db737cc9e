# What the functions are built from: an explicit list, so that nothing else can slip into the cloud.

locals {
  root = "${path.module}/.."

  # The same as what .gcloudignore leaves over; a test holds it to that.
  files = sort(concat(
    ["main.py"],
    tolist(fileset(local.root, "core/**/*.{py,html,css,js}")),
    tolist(fileset(local.root, "functions/*.py")),
    tolist(fileset(local.root, "config/*.toml")),
  ))

  # A build installs /requirements.txt and nothing else, and what serves must stay small: train has a longer list.
  serve_requirements = file("${local.root}/requirements.txt")
  train_requirements = replace(
    "${local.serve_requirements}${file("${local.root}/requirements-train.txt")}", "/(?m)^-r requirements.txt$\\n/", ""
  )
  requirements = { serve = local.serve_requirements, train = local.train_requirements }

  # Of the content alone: a zip's bytes also depend on who compressed them.
  content = join("\n", concat(
    [for file in local.files : "${filesha256("${local.root}/${file}")}  ${file}"],
    [for name, text in local.requirements : "${sha256(text)}  ${name}/requirements.txt"],
  ))
  release = var.release == "" ? sha256(local.content) : var.release

  # Going back uploads nothing: the archives of that release are in the bucket.
  archives = var.release == "" ? local.requirements : {}

  # The commit that brought the release here. Were it the newest one, a commit without a change of code would deploy.
  commit = var.release == "" ? google_storage_bucket_object.source["serve"].metadata.commit : "release ${var.release}"
}

data "archive_file" "source" {
  for_each         = local.archives
  type             = "zip"
  output_path      = "${local.root}/build/${each.key}.zip"
  output_file_mode = "0644"

  dynamic "source" {
    for_each = local.files
    content {
      filename = source.value
      content  = file("${local.root}/${source.value}")
    }
  }

  source {
    filename = "requirements.txt"
    content  = each.value
  }
}

resource "google_storage_bucket_object" "source" {
  for_each        = data.archive_file.source
  bucket          = google_storage_bucket.sources.name
  name            = "${local.release}/${each.key}.zip"
  source          = each.value.output_path
  content_type    = "application/zip"
  metadata        = { commit = var.code_version }
  deletion_policy = "ABANDON" # one can go back to it until the function cleanup removes it

  # The name says what is in it: nothing else changes while the code does not.
  lifecycle {
    ignore_changes = [metadata, detect_md5hash]
  }
}
