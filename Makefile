# The two commands of the README: `make demo` and `make test`. Each sets up all it needs.
PYTHON ?= python3
DEMO = .venv-demo
TEST = .venv
AUDIT = .venv-audit
OSV = https://api.osv.dev/v1/query

.PHONY: demo test fast lint bench release-check audit sbom fuzz clean

demo: $(DEMO)/ready
	$(DEMO)/bin/pixelkin detect examples --heatmap heatmaps
	@echo "Maps of where each verdict comes from: heatmaps/"

# Two processes with a thread each: two cores are used without getting in each other's way. What times
# itself runs after them, by itself.
test: $(TEST)/ready lint
	OMP_NUM_THREADS=1 $(TEST)/bin/pytest -n 2 -m "not alone"
	$(TEST)/bin/pytest -m alone

fast: $(TEST)/ready
	OMP_NUM_THREADS=1 $(TEST)/bin/pytest -n 2 -m "not slow and not alone"

lint: $(TEST)/ready
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/mypy

bench: $(TEST)/ready
	$(TEST)/bin/python benchmarks/scan.py
	$(TEST)/bin/python benchmarks/performance.py
	$(TEST)/bin/python benchmarks/service.py
	$(TEST)/bin/python benchmarks/scan_scaling.py

# Known weaknesses of the locked versions. "Error 1" if there are some, "Error 3" if nobody could be asked.
# (Of PyPI's own list pip-audit leaves out what it does not find, and then finds nothing wrong.)
audit: $(AUDIT)/ready
	@mkdir -p dist && rm -f dist/audit.json
	@$(AUDIT)/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict \
	  --vulnerability-service osv --osv-url $(OSV) --format json --output dist/audit.json 2> dist/audit.log; \
	status=$$?; test -s dist/audit.json || { echo "Nothing was audited: the advisories at $(OSV)" \
	  "could not be asked. dist/audit.log says why." >&2; exit 3; }; \
	cat dist/audit.log; exit $$status

# What the service's container holds, as CycloneDX: the locked versions in an environment without tools.
sbom: $(AUDIT)/ready
	@mkdir -p dist && rm -rf $(AUDIT)/runtime
	@$(PYTHON) -m venv --without-pip $(AUDIT)/runtime
	@$(AUDIT)/bin/pip --python $(AUDIT)/runtime install --quiet --constraint constraints.txt ".[serve,provenance]"
	@$(AUDIT)/bin/cyclonedx-py environment $(AUDIT)/runtime --pyproject pyproject.toml --output-reproducible \
	  --output-file dist/sbom.json
	@echo "The components of the service: dist/sbom.json"

# Wheel and sdist, built, and run from fresh environments of every Python there is; a part of `make test`.
release-check: $(TEST)/ready
	OMP_NUM_THREADS=1 $(TEST)/bin/pytest tests/test_release.py

# A million inputs of each target takes hours; a run that was stopped goes on. Linux only.
fuzz: $(TEST)/ready
	OMP_NUM_THREADS=1 $(TEST)/bin/python fuzz/run.py $(TARGETS)

# The runtime only: no torch.
$(DEMO)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/pip install --quiet --constraint constraints.txt --editable .
	@touch $@

# The laboratory and the tools, at locked versions.
$(TEST)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/pip install --quiet --constraint constraints.txt --editable ".[lab,test]"
	@touch $@

$(AUDIT)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/pip install --quiet --constraint constraints.txt --editable ".[audit]"
	@touch $@

clean:
	rm -rf $(DEMO) $(TEST) $(AUDIT) heatmaps
