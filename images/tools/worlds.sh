#!/bin/sh
# Leaves of the installed packages, in the directory that is given, what simulators import. No task and no answer of their
# benchmarks stays: a policy may read everything in its sandbox.
set -eu
cd "$1"
rm -rf bin core_evals ./*.dist-info
find bfcl_eval -type f ! -path '*/func_source_code/*' ! -name __init__.py -delete
(cd bfcl_eval/eval_checker/multi_turn_eval/func_source_code && rm memory_*.py web_search.py)
find tau2 -type f ! -path tau2/__init__.py ! -path 'tau2/utils/*' ! -path 'tau2/environment/*' \
  ! -path 'tau2/data_model/*' ! -path 'tau2/domains/*' ! -path 'tau2/data/tau2/domains/*' -delete
rm -r tau2/domains/airline tau2/domains/retail tau2/domains/telecom/tasks \
  tau2/data/tau2/domains/airline tau2/data/tau2/domains/retail tau2/data/tau2/domains/telecom/workflows
find tau2/data -name '*tasks*' -delete
find . -type d -empty -delete
python3 -m compileall -q .
