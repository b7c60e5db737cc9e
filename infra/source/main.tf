# What the functions are built from, as two archives that differ in requirements.txt only.
#
# A build installs /requirements.txt and nothing else, and what serves must stay small: train has a longer list. The files
# are an explicit list, so that nothing else can slip into the cloud; archive_file packs a list by its contents only.

terraform {
  required_providers {
    archive = {
      source  = "hashicorp/archive"
      version = "~> 2.7"
    }
  }
}

variable "root" {
  description = "The repository."
  type        = string
}

variable "build" {
  description = "The folder that the archives are written into."
  type        = string
}

variable "release" {
  description = "An earlier release, whose archives are in the bucket already: then nothing is packed."
  type        = string
  default     = ""
}

locals {
  # The same as what .gcloudignore leaves over.
  files = sort(concat(
    ["main.py"],
    tolist(fileset(var.root, "core/**/*.{py,html,css,js}")),
    tolist(fileset(var.root, "functions/*.py")),
    tolist(fileset(var.root, "config/*.toml")),
  ))

  serve = file("${var.root}/requirements.txt")
  train = replace("${local.serve}${file("${var.root}/requirements-train.txt")}", "-r requirements.txt\n", "")

  requirements = { serve = local.serve, train = local.train }
  archives     = var.release == "" ? local.requirements : {}

  # Of the contents alone: a zip's bytes also depend on who compressed them.
  contents = concat(
    [for file in local.files : "${filesha256("${var.root}/${file}")}  ${file}"],
    [for name, text in local.requirements : "${sha256(text)}  ${name}: requirements.txt"],
  )
}

data "archive_file" "this" {
  for_each         = local.archives
  type             = "zip"
  output_path      = "${var.build}/${each.key}.zip"
  output_file_mode = "0644"

  dynamic "source" {
    for_each = local.files
    content {
      filename = source.value
      content  = file("${var.root}/${source.value}")
    }
  }

  source {
    filename = "requirements.txt"
    content  = each.value
  }
}

output "release" {
  description = "SHA-256 of all contents: the name of the release."
  value       = var.release == "" ? sha256(join("\n", local.contents)) : var.release
}

output "files" {
  description = "What is packed, beside requirements.txt."
  value       = local.files
}

output "archives" {
  description = "Paths of the archives by name: serve, train. Empty for an earlier release."
  value       = { for name, archive in data.archive_file.this : name => archive.output_path }
}

output "requirements" {
  description = "requirements.txt of each archive."
  value       = local.requirements
}
