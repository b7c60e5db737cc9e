# The functions' sources, in the bucket by release. source/main.tf says what they are.

module "source" {
  source  = "./source"
  root    = local.root
  build   = "${local.root}/build"
  release = var.release
}

locals {
  root    = "${path.module}/.."
  release = module.source.release

  # The commit that brought the release here. Were it the newest one, a commit without a change of code would deploy.
  brought = var.release == "" ? google_storage_bucket_object.source["${local.release}/serve.zip"].metadata.commit : ""
  commit  = var.release == "" ? local.brought : "release ${var.release}"
}

resource "google_storage_bucket_object" "source" {
  for_each        = { for name, path in module.source.archives : "${local.release}/${name}.zip" => path }
  bucket          = google_storage_bucket.sources.name
  name            = each.key
  source          = each.value
  content_type    = "application/zip"
  metadata        = { commit = var.code_version }
  deletion_policy = "ABANDON" # one can go back to it until the function cleanup removes it

  # The name says what is in it: nothing else changes while the code does not.
  lifecycle {
    ignore_changes = [metadata, detect_md5hash]
  }
}
