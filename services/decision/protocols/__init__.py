"""The shipped rule packs, one YAML file each; `floor.yaml` is included by all others."""
