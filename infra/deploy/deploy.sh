#!/bin/sh
# One step of a deployment; cloudbuild.yaml, GitHub and a person run the same, in this order:
#
#   infra/deploy/deploy.sh plan ENVIRONMENT     what would change; notes the release to go back to
#   infra/deploy/deploy.sh apply ENVIRONMENT    exactly that plan
#   infra/deploy/deploy.sh smoke ENVIRONMENT    whether it answers (smoke.py; needs gcloud and Python 3)
#   infra/deploy/deploy.sh back ENVIRONMENT     nothing, if that passed; else back to the release before, and exit 1
#
# ENVIRONMENT is paper or live. PROJECT_ID names the project; COMMIT_SHA, if set, the commit, for the record. What a
# step leaves to the next one lies in build/deploy-ENVIRONMENT.
set -eu
cd "$(dirname "$0")/../.."

step=${1:-} environment=${2:-}
case $environment in
paper | live) ;;
*) echo "usage: PROJECT_ID=my-hourhand $0 plan|apply|smoke|back paper|live" >&2 && exit 2 ;;
esac
: "${PROJECT_ID:?names the Google Cloud project}"

left=build/deploy-$environment
export TF_IN_AUTOMATION=1 TF_INPUT=0
terraform() { command terraform -chdir=infra "$@"; }
settings="-var-file=environments/$environment.tfvars -var=project_id=$PROJECT_ID"
settings="$settings -var=code_version=${COMMIT_SHA:-unknown}"

plan() {
    rm -rf "$left" && mkdir -p "$left"
    terraform init -reconfigure \
        -backend-config="bucket=$PROJECT_ID-hourhand-tfstate" -backend-config="prefix=$environment"
    terraform output -json >"$left/before.json"
    terraform plan -lock-timeout=5m $settings -out="../$left/plan"
}

apply() {
    terraform apply -lock-timeout=5m "../$left/plan"
    terraform output -json >"$left/outputs.json"
}

smoke() {
    python3 infra/deploy/smoke.py --as-deployer "$left/outputs.json"
    touch "$left/passed"
}

back() {
    if [ -f "$left/passed" ]; then
        exit 0
    fi
    before=$(sed -n '/^  "release": {/,/^  }/s/^    "value": "\([0-9a-f]*\)".*/\1/p' "$left/before.json")
    if [ -z "$before" ]; then
        echo "FAILED. There is no release before this one to go back to: mend it and deploy again." >&2
        exit 1
    fi
    echo "FAILED. Going back to the release $before" >&2
    terraform apply -auto-approve -lock-timeout=5m $settings -var="release=$before" ||
        echo "That FAILED as well. By hand: terraform apply -var release=$before (docs/go_live.md)" >&2
    exit 1
}

case $step in
plan | apply | smoke | back) "$step" ;;
*) echo "usage: PROJECT_ID=my-hourhand $0 plan|apply|smoke|back paper|live" >&2 && exit 2 ;;
esac
