#!/bin/sh
# The published schemas of the operators' objects, from their Go modules: get_crds.sh FOLDER
set -eu
mkdir -p "$1"
folder=$(cd "$1" && pwd)
cd "$folder"
while read -r module file; do
    test -e "$(basename "$file")" && continue
    modules=${GOMODCACHE:-$(go env GOMODCACHE)}
    go mod download "$module" > /dev/null
    cp "$modules/$module/$file" . && chmod u+w "$(basename "$file")"
done << EOM
github.com/kedacore/keda/v2@v2.21.0 config/crd/bases/keda.sh_scaledobjects.yaml
github.com/cert-manager/cert-manager@v1.21.2 deploy/crds/cert-manager.io_certificates.yaml
github.com/prometheus-operator/prometheus-operator@v0.85.0 example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml
github.com/prometheus-operator/prometheus-operator@v0.85.0 example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml
sigs.k8s.io/gateway-api@v1.6.3 config/crd/standard/gateway.networking.k8s.io_httproutes.yaml
EOM
