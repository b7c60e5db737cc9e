# Who may deploy besides a person: GitHub Actions by workload identity federation, and Cloud Build, both as one account.
#
# A person's first `terraform apply` makes all of this. The deployer brings new code and changes functions, schedules
# and what is watched. It gives no rights, makes no accounts, and reads no secret and no document: a change of those
# fails there, and is applied by a person. But who deploys code can do through it what that function may; therefore live
# waits for an approval. With paper and live in one project its roles reach both: use two if that matters to you.

locals {
  deploys = var.github_repository != ""

  # What changes from one release to the next.
  deployer_roles = toset(concat(
    [
      "roles/cloudfunctions.developer",
      "roles/cloudscheduler.admin",
      "roles/logging.configWriter",
      "roles/monitoring.editor",
    ],
    var.cloud_build ? ["roles/cloudbuild.builds.viewer", "roles/logging.logWriter"] : [],
  ))

  # What a plan looks at besides, none of it the content of anything.
  deployer_permissions = [
    "artifactregistry.repositories.get",
    "artifactregistry.repositories.getIamPolicy",
    "bigquery.datasets.get",
    "bigquery.datasets.getIamPolicy",
    "bigquery.routines.get",
    "bigquery.tables.get",
    "cloudfunctions.functions.getIamPolicy",
    "compute.addresses.get",
    "compute.networks.get",
    "compute.routers.get",
    "compute.subnetworks.get",
    "datastore.backupSchedules.get",
    "datastore.backupSchedules.list",
    "datastore.databases.getMetadata",
    "datastore.databases.list",
    "datastore.indexes.get",
    "datastore.indexes.list",
    "eventarc.triggers.get",
    "iam.roles.get",
    "iam.serviceAccounts.get",
    "iam.serviceAccounts.getIamPolicy",
    "iam.workloadIdentityPoolProviders.get",
    "iam.workloadIdentityPools.get",
    "pubsub.schemas.get",
    "pubsub.subscriptions.get",
    "pubsub.subscriptions.getIamPolicy",
    "pubsub.topics.get",
    "pubsub.topics.getIamPolicy",
    "resourcemanager.projects.get",
    "resourcemanager.projects.getIamPolicy",
    "run.services.get",
    "run.services.getIamPolicy",
    "secretmanager.secrets.get",
    "secretmanager.secrets.getIamPolicy",
    "serviceusage.services.get",
    "serviceusage.services.list",
    "serviceusage.services.use",
    "storage.buckets.get",
    "storage.buckets.getIamPolicy",
  ]

  # A deployed function runs, is built and is called as one of these.
  deployed_as = merge(
    { for key, account in google_service_account.function : key => account.id },
    {
      scheduler = google_service_account.scheduler.id
      delivery  = google_service_account.delivery.id
      builder   = google_service_account.builder.id
    },
  )

  # The smoke test (infra/deploy/smoke.py) calls `status` itself, the one function that can be reached from outside the
  # project; and it watches a schedule. A live tick is never run out of turn.
  smoked  = ["status"]
  watched = local.live ? "guard" : "tick"
}

resource "google_service_account" "deployer" {
  count        = local.deploys ? 1 : 0
  account_id   = "${local.name}-deployer"
  display_name = "Hourhand ${var.environment}: deploys"
  depends_on   = [google_project_service.this]
}

resource "google_project_iam_member" "deployer" {
  for_each = local.deploys ? local.deployer_roles : toset([])
  project  = var.project_id
  role     = each.key
  member   = google_service_account.deployer[0].member
}

resource "google_project_iam_custom_role" "deployer" {
  count       = local.deploys ? 1 : 0
  role_id     = "${replace(local.name, "-", "_")}_deployer"
  title       = "Hourhand ${var.environment}: what a plan looks at"
  permissions = local.deployer_permissions
}

resource "google_project_iam_member" "deployer_looks" {
  count   = local.deploys ? 1 : 0
  project = var.project_id
  role    = google_project_iam_custom_role.deployer[0].id
  member  = google_service_account.deployer[0].member
}

resource "google_service_account_iam_member" "deployer_acts_as" {
  for_each           = local.deploys ? local.deployed_as : {}
  service_account_id = each.value
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.deployer[0].member
}

# The tokens that its smoke test shows to the functions are its own.
resource "google_service_account_iam_member" "deployer_tokens" {
  count              = local.deploys ? 1 : 0
  service_account_id = google_service_account.deployer[0].id
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_service_account.deployer[0].member
}

resource "google_cloud_run_v2_service_iam_member" "deployer" {
  for_each = local.deploys ? toset(local.smoked) : toset([])
  location = var.region
  name     = google_cloudfunctions2_function.this[each.key].name
  role     = "roles/run.invoker"
  member   = google_service_account.deployer[0].member
}

resource "google_storage_bucket_iam_member" "deployer_sources" {
  count  = local.deploys ? 1 : 0
  bucket = google_storage_bucket.sources.name
  role   = "roles/storage.objectUser"
  member = google_service_account.deployer[0].member
}

# Terraform's state, in the bucket that a person made (docs/go_live.md).
resource "google_storage_bucket_iam_member" "deployer_state" {
  count  = local.deploys ? 1 : 0
  bucket = "${var.project_id}-hourhand-tfstate"
  role   = "roles/storage.objectUser"
  member = google_service_account.deployer[0].member
}

# A plan looks at the budget as well.
resource "google_billing_account_iam_member" "deployer" {
  count              = local.deploys && var.billing_account != "" ? 1 : 0
  billing_account_id = var.billing_account
  role               = "roles/billing.viewer"
  member             = google_service_account.deployer[0].member
}

# -- GitHub Actions: no key, but a token of GitHub's that names repository, branch and environment

resource "google_iam_workload_identity_pool" "github" {
  count                     = local.deploys ? 1 : 0
  workload_identity_pool_id = "${local.name}-github"
  display_name              = "Hourhand ${var.environment}: GitHub"
  depends_on                = [google_project_service.this]
}

# The environment of that name in the repository's settings is where GitHub asks for an approval.
resource "google_iam_workload_identity_pool_provider" "github" {
  #checkov:skip=CKV_GCP_125:repository, branch and environment are each compared, which says more than `sub` does
  count                              = local.deploys ? 1 : 0
  workload_identity_pool_id          = google_iam_workload_identity_pool.github[0].workload_identity_pool_id
  workload_identity_pool_provider_id = "actions"

  attribute_mapping = {
    "google.subject"       = "assertion.sub"
    "attribute.repository" = "assertion.repository"
  }
  attribute_condition = join(" && ", [
    "assertion.repository == '${var.github_repository}'",
    "assertion.ref == 'refs/heads/${var.github_branch}'",
    "assertion.environment == '${var.environment}'",
  ])

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }

  lifecycle {
    precondition {
      condition = alltrue([
        can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository)),
        can(regex("^[A-Za-z0-9._/-]+$", var.github_branch)),
      ])
      error_message = "github_repository is OWNER/NAME and github_branch a branch's name, neither an address."
    }
  }
}

resource "google_service_account_iam_member" "github" {
  count              = local.deploys ? 1 : 0
  service_account_id = google_service_account.deployer[0].id
  role               = "roles/iam.workloadIdentityUser"
  member = join("/", [
    "principalSet://iam.googleapis.com", google_iam_workload_identity_pool.github[0].name,
    "attribute.repository", var.github_repository,
  ])
}

# -- Cloud Build

resource "google_cloudbuild_trigger" "this" {
  count           = var.cloud_build ? 1 : 0
  name            = local.name
  description     = "Deploys ${var.environment} on a push to ${var.github_branch}; live waits for an approval."
  filename        = "cloudbuild.yaml"
  service_account = one(google_service_account.deployer[*].id)
  substitutions   = { _ENVIRONMENT = var.environment, _REAL_MONEY = var.real_money }

  github {
    owner = split("/", var.github_repository)[0]
    name  = try(split("/", var.github_repository)[1], "")
    push {
      branch = "^${replace(var.github_branch, ".", "\\.")}$"
    }
  }

  approval_config {
    approval_required = local.live
  }

  lifecycle {
    precondition {
      condition     = local.deploys
      error_message = "cloud_build needs github_repository: builds are of that repository's branch only."
    }
  }
  depends_on = [google_project_service.this]
}

# -- what the steps of a deployment read

output "environment" {
  description = "paper or live: what the smoke test may do."
  value       = var.environment
}

output "smoke_jobs" {
  description = "The schedules that the smoke test watches: of the tick on paper, of the guard when live."
  value = concat(
    [google_cloud_scheduler_job.this[local.watched].id],
    [for name, job in google_cloud_scheduler_job.second : job.id if name == local.watched],
  )
}

output "deployer" {
  description = "The account that deploys; empty without github_repository."
  value       = join("", google_service_account.deployer[*].email)
}

output "workload_identity_provider" {
  description = "For GitHub Actions, with the deployer: the variable WORKLOAD_IDENTITY_PROVIDER of its environment."
  value       = join("", google_iam_workload_identity_pool_provider.github[*].name)
}
