# The two commands of the README: `make demo` and `make test`. Each sets up all it needs.
PYTHON ?= python3
DEMO = .venv-demo
TEST = .venv

.PHONY: demo test fast lint bench fuzz clean

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

clean:
	rm -rf $(DEMO) $(TEST) heatmaps
