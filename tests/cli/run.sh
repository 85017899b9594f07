#!/bin/sh
# run.sh MMCL DATA.npz POOL.npy WRITE_BAD: the command as a script meets it. Ends with 1 when an expectation fails.
set -u
# Paths come relative to the build folder, and the work is done in another.
absolute() {
    case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac
}
mmcl=$(absolute "$1") data=$(absolute "$2") pool=$(absolute "$3") write_bad=$(absolute "$4")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
failed=0

fail() {
    echo "FAILED: $*"
    failed=1
}

# expect CODE ARGUMENTS...: runs the command, checks its exit code, leaves its streams in out and err.
expect() {
    code=$1
    shift
    "$mmcl" "$@" >out 2>err
    got=$?
    [ $got = "$code" ] || fail "exit $got instead of $code: mmcl $* ($(cat err))"
}

# refuse CODE WORDS ARGUMENTS...: as expect, and standard error is one line that begins as all do and holds the words.
refuse() {
    words=$2
    code=$1
    shift 2
    expect "$code" "$@"
    [ "$(wc -l <err)" = 1 ] || fail "not one line on standard error: mmcl $*: $(cat err)"
    grep -q '^mmcl' err || fail "the line does not begin with mmcl: $(cat err)"
    grep -qF -- "$words" err || fail "no \"$words\" in: $(cat err)"
    [ ! -s out ] || fail "output in spite of an error: mmcl $*"
}

# same FILE: is still what keep FILE left there.
keep() { echo "precious" >"$1"; }
same() { [ "$(cat "$1")" = precious ] || fail "$1 was changed by: $2"; }

# ------------------------------------------------------------------------------------------------- usage and help
refuse 2 "a subcommand is needed"
refuse 2 "did you mean probe?" prob
refuse 2 "did you mean disentangle?" disentagle
refuse 2 "unknown subcommand zzzzzz" zzzzzz
refuse 2 "did you mean predict?" help predit
expect 0 --version
grep -q '^mmcl [0-9]*\.[0-9]*\.[0-9]*$' out || fail "version: $(cat out)"
expect 0 help
for sub in identify train encode probe adapt disentangle metrics analyse align predict info; do
    grep -q "^  $sub " out || fail "help does not list $sub"
done
for sub in identify train encode probe adapt disentangle metrics analyse align predict info; do
    expect 0 help $sub
    cp out first
    grep -q "^Example:" out && grep -q -- "--json FILE" out || fail "help $sub lacks example or options"
    expect 0 $sub --help
    cmp -s out first || fail "help $sub and $sub --help differ"
done

refuse 2 "did you mean --shots?" probe "$data" --shot 1
refuse 2 "did you mean --transform?" probe "$data" --tranform raw
refuse 2 "did you mean --threads?" info "$data" --thread=1
refuse 2 "did you mean --max-iterations?" disentangle --max-iteration 5
refuse 2 "--json needs a value" info "$data" --json
refuse 2 "--json needs a value" info "$data" --json --quiet
refuse 2 "--quiet takes no value" info "$data" --quiet=1
refuse 2 "strict, paper" probe "$data" --protocol strictly
refuse 2 "f32, f64" disentangle --precision f16
refuse 2 "--shots 1,2x" probe "$data" --shots 1,2x
refuse 2 "--shots 1,,2" probe "$data" --shots 1,,2
refuse 2 "--shots 0" probe "$data" --shots 0
refuse 2 "--seed -1" probe "$data" --seed -1
refuse 2 "--seed 4294967296" probe "$data" --seed 4294967296
refuse 2 "--threads 0" info "$data" --threads 0
refuse 2 "--tolerance 1e" disentangle --tolerance 1e
refuse 2 "--tolerance 0x1p-4" disentangle --tolerance 0x1p-4
refuse 2 "--tolerance 0" disentangle --tolerance 0
refuse 2 "--tolerance -1" disentangle --tolerance=-1
refuse 2 "--tolerance nan" disentangle --tolerance nan
refuse 2 "--max-iterations 12x" disentangle --max-iterations 12x
refuse 2 "expected at least one DATA" probe
refuse 2 "expected one FILE" info
refuse 2 "expected one FILE" info a b
refuse 2 "unexpected argument" disentangle "$pool"
refuse 2 "--in A is needed" predict x.npz
refuse 2 "needs --transform" disentangle --fit "$pool"
refuse 2 "exclude each other" disentangle --fit "$pool" --model m.npz
refuse 2 "go together" disentangle --fit "$pool" --transform pca:2 --apply "$pool"
refuse 2 "is needed" disentangle --transform pca:2
refuse 2 "piccard" disentangle --fit "$pool" --transform ica:4:piccard
refuse 2 "whitten" probe "$data" --transform raw --transform whitten:4
refuse 2 "--save needs a single DATA" probe "$data" "$data" --save p.npz
refuse 2 "same name" probe "$data" --json a --plot a
refuse 2 "--save" probe "$data" --save -
refuse 2 "did you mean --coupling?" identify --couplin vmf:1
refuse 2 "sphere, box, real" identify --space torus
refuse 2 "vmf:K, laplace:L" identify --coupling vnf:10
refuse 2 "--coupling: vmf:-1: -1, expected a positive number" identify --coupling vmf:-1
refuse 2 "vmf:0" identify --coupling vmf:0
refuse 2 "laplace:1:2 is not understood" identify --coupling laplace:1:2
refuse 2 "uniform:1 is not understood" identify --marginal uniform:1
refuse 2 "uniform does not exist on R^d" identify --space real --marginal uniform
refuse 2 "a sphere needs at least 2" identify --latent 1
refuse 2 "not one of the space box" identify --space box --coupling vmf:10
refuse 2 "not positive definite" identify --correlation 1
refuse 2 "private_dependence: 2" identify --private-dependence 2
refuse 2 "symmetric on the sphere" identify --direction symmetric --coupling laplace:0.1
refuse 2 "--batch 1" identify --batch 1
refuse 2 "--private: 3 numbers" identify --private 1,2,3
refuse 2 "--table has models of its own" identify --table --space box
refuse 2 "same name" identify --json a --plot a
refuse 2 "same name" identify --out a --plot a
refuse 2 "--table has models of its own" identify --table --out a.npz
refuse 2 "unexpected argument" identify "$data"
refuse 2 "--t is needed" train --x "$pool" --out pair
refuse 2 "--in is needed" encode pair --out x.npy
refuse 2 "did you mean --checkpoint?" train --x "$pool" --t "$pool" --out pair --chekpoint c.npz
refuse 2 "did you mean --resume?" train --x "$pool" --t "$pool" --out pair --resum c.npz
refuse 2 "--checkpoint-every needs --checkpoint" train --x "$pool" --t "$pool" --out pair --checkpoint-every 5
refuse 2 "--checkpoint-every 0" train --x "$pool" --t "$pool" --out pair --checkpoint c.npz --checkpoint-every 0
refuse 2 "the same name pair.x.npz" train --x "$pool" --t "$pool" --out pair --checkpoint pair.x.npz
refuse 2 "expected one MODEL" encode --in "$pool" --out x.npy

# ------------------------------------------------------------------------------------------------------ what works
valid_json() {
    if command -v python3 >/dev/null; then
        python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$1" || fail "not JSON: $1"
    fi
}

expect 0 info "$data" --json info.json
valid_json info.json
grep -q "train_x *float16 *320 x 96" out || fail "info: $(cat out)"
expect 0 info --json - -- "$data"
valid_json out
cmp -s out info.json || fail "info --json - and --json FILE differ"

expect 0 disentangle --fit "$pool" --transform pca:40+ica:8 --save model.npz --apply "$data:test_x" --out applied.npy --json fit.json
valid_json fit.json
for key in iterations converged residual explained_variance seconds; do
    grep -q "\"$key\"" fit.json || fail "no $key in the JSON of disentangle"
done
expect 0 disentangle --model=model.npz --apply="$data:test_x" --out again.npy
cmp -s applied.npy again.npy || fail "a loaded model gives other rows"
expect 0 info applied.npy
grep -q "float32 *800 x 8" out || fail "info of the applied rows: $(cat out)"
expect 0 info model.npz
grep -q "^model.npz: transform" out || fail "info of a model: $(cat out)"
expect 0 disentangle --fit "$pool,$data:train_x" --transform whiten:4 --threads 2 --order variance --component-sign loading \
    --precision f64 --apply "$pool" --out two.npz --quiet
[ ! -s err ] || fail "--quiet is not: $(cat err)"
expect 0 disentangle --fit "$pool" --transform normalize+ica:4+power+relevance+normalize/discriminants:6 --save side.npz --apply "$pool" --out side.npy \
    --json side.json
grep -q '"kind": "relevance"' side.json && grep -q '"kind": "discriminants"' side.json || fail "steps of side.json: $(cat side.json)"
expect 0 info side.npy
grep -q " x 10 " out || fail "not 10 columns side by side: $(cat out)"
refuse 2 '"1.x" means nothing after power' disentangle --fit "$pool" --transform ica:4+power:1.x
expect 0 disentangle --fit "$pool" --transform ica:8 --max-iterations 1
grep -q "iteration limit" out || fail "not converging is not told: $(cat out)"
expect 0 disentangle --fit "$pool" --transform ica:8 --seed 1 --apply "$pool" --out seed1.npy
expect 0 disentangle --fit "$pool" --transform ica:8 --seed 2 --threads 1 --apply "$pool" --out seed2.npy
cmp -s seed1.npy seed2.npy || fail "the seed or the threads change ICA"

expect 0 probe "$data" --shots 1,4 --transform raw --transform whiten:16+normalize --pool "$pool" --save pipe.npz --plot p.svg \
    --json probe.json
valid_json probe.json
for key in dataset shots transform protocol seed C val_accuracy test_accuracy seconds accuracy_shift components fits passes steps; do
    grep -q "\"$key\"" probe.json || fail "no $key in the JSON of probe"
done
[ "$(grep -c '^    {"dataset": "fewshot", "shots"' probe.json)" = 4 ] || fail "not 4 rows in probe.json"
grep -q "<svg" p.svg && grep -q "whiten:16+normalize" p.svg || fail "the plot lacks its legend"
[ "$(wc -l <out)" = 5 ] || fail "not a heading and 4 lines: $(cat out)"
expect 0 probe "$data" --shots 1 --transform normalize+whiten:8+normalize/normalize+discriminants:8+normalize --pool "$pool" --plot p.svg
grep -q "^transform 1: normalize+whiten:8" out && grep -q "^fewshot     1  transform 1 " out || fail "a long transform has no number: $(cat out)"
expect 0 probe "$data" --shots 2 --seed 5 --seeds 3 --json - --quiet
valid_json out
grep -q '"test_accuracy_mean"' out && grep -q '"test_accuracy_std"' out || fail "no mean and deviation over the seeds"
for seed in 5 6 7; do grep -q "\"seed\": $seed, \"C\"" out || fail "no row of seed $seed"; done
expect 0 probe "$data" --shots 2 --transform ica:500 --protocol paper --quiet
refuse 1 "500" probe "$data" --shots 2 --transform ica:500

# Rows of the pool that are test rows are left out, and it is said.
refuse 1 "every row is also a val or test row" probe "$data" --shots 1 --transform whiten:8 --pool "$data:test_x"
expect 0 probe "$data" --shots 1 --transform whiten:8 --pool "$data:test_x" --protocol paper --json paper.json
grep -q '"transform_rows": 800' paper.json || fail "paper does not fit on all of the pool"
expect 0 probe "$data" --shots 1 --transform whiten:8 --pool "$data:train_x"
[ ! -s err ] || ! grep -q "left out" err || fail "train rows of the pool are left out: $(cat err)"

# ----------------------------------------------------------------------------------------------- predict round trip
expect 0 predict pipe.npz --in "$data:test_x"
cp out lines
[ "$(wc -l <lines)" = 800 ] || fail "not a line a row: $(wc -l <lines)"
head -n 1 lines | grep -q "^[0-9]*	class [0-9]*	-\{0,1\}[0-9.e+-]*$" || fail "line: $(head -n 1 lines)"
expect 0 info pipe.npz
grep -q "pipeline, 20 classes with names" out || fail "info of a pipeline: $(cat out)"
expect 0 predict pipe.npz --in "$data:test_x" --out scores.npz --json predict.json
valid_json predict.json
expect 0 predict pipe.npz --in "$data:test_x" --out classes.npy
expect 0 predict pipe.npz --in "$data:test_x" --json -
valid_json out
if command -v python3 >/dev/null && python3 -c 'import numpy' 2>/dev/null; then
    python3 - "$data" <<'P' || fail "the predictions do not agree with each other or with the probe"
import json, sys
import numpy as np
lines = np.array([int(l.split("\t")[0]) for l in open("lines")])
z = np.load("scores.npz")
assert (z["classes"] == lines).all() and (z["scores"].argmax(1) == lines).all() and (np.load("classes.npy") == lines).all()
assert z["classnames"][3] == "class 3"
probe = json.load(open("probe.json"))
accuracy = (np.load(sys.argv[1])["test_y"] == lines).mean()
assert accuracy == probe["rows"][probe["saved_row"]]["test_accuracy"], accuracy
P
fi

# -------------------------------------------------------------------------------------------------------- bad input
for kind in good fixed no-val integers widths lengths label-high label-negative empty-class nan infinity; do
    "$write_bad" $kind $kind.npz || fail "write_bad $kind"
done
expect 0 probe good.npz --shots 2 --quiet
# Shots are drawn from train rows, however many; without them there are the fixed draws only.
expect 0 probe good.npz --shots 3 --quiet
expect 0 probe fixed.npz --shots 2 --quiet
refuse 1 "shot3_x" probe fixed.npz --shots 3
refuse 1 "val_x" probe no-val.npz --shots 2
refuse 1 "float" probe integers.npz --shots 2
refuse 1 "columns" probe widths.npz --shots 2
refuse 1 "39 labels" probe lengths.npz --shots 2
refuse 1 "the label of row 5 is 4" probe label-high.npz --shots 2
refuse 1 "the label of row 5 is -1" probe label-negative.npz --shots 2
refuse 1 "class 3 d has no rows" probe empty-class.npz --shots 2
refuse 1 "row 7" probe nan.npz --shots 2
refuse 1 "row 7" probe infinity.npz --shots 2
refuse 1 "row 7" disentangle --fit nan.npz:test_x --transform pca:2
expect 0 disentangle --fit good.npz:test_x --transform pca:2 --save pca.npz
keep old.npy
refuse 1 "row 7" disentangle --model pca.npz --apply nan.npz:test_x --out old.npy
same old.npy "apply of NaN"
expect 0 probe good.npz --shots 2 --save good-pipe.npz
refuse 1 "row 7" predict good-pipe.npz --in nan.npz:test_x
refuse 1 "96 columns" predict good-pipe.npz --in "$data:test_x"
refuse 1 "96 columns" disentangle --model pca.npz --apply "$pool" --out x.npy
refuse 1 "columns" disentangle --fit "$pool,good.npz:test_x" --transform pca:2
refuse 1 "97" disentangle --fit "$pool" --transform pca:97
refuse 1 "nothing" info nothing.npy
refuse 1 "nothing" probe nothing.npz
refuse 1 "no_key" disentangle --fit "$data:no_key" --transform pca:2
refuse 1 "." info .

# Truncated and damaged files.
size=$(wc -c <"$data")
for bytes in 0 1 10 100 $((size / 2)) $((size - 1)); do
    head -c "$bytes" "$data" >short.npz
    refuse 1 "short.npz" info short.npz
    refuse 1 "short.npz" probe short.npz
done
for bytes in 3 64 1000; do
    head -c $bytes "$pool" >short.npy
    refuse 1 "short.npy" disentangle --fit short.npy --transform pca:2
done
head -c 400 model.npz >short-model.npz
refuse 1 "short-model.npz" disentangle --model short-model.npz --apply "$pool" --out x.npy
head -c 400 pipe.npz >short-pipe.npz
refuse 1 "short-pipe.npz" predict short-pipe.npz --in "$pool"
cp "$data" flipped.npz
printf '\377\377\377' | dd of=flipped.npz bs=1 seek=$((size / 3)) conv=notrunc 2>/dev/null
refuse 1 "flipped.npz" info flipped.npz
refuse 1 "model.npz" predict model.npz --in "$pool"
refuse 1 "pipe.npz" disentangle --model pipe.npz --apply "$pool" --out x.npy

# A pickle, and a header that declares 2^60 rows.
npy() { # npy HEADER: version 1.0 with that dictionary
    printf '\223NUMPY\001\000\166\000%-117s\n' "$1"
}
npy "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }" >object.npy
refuse 1 "object.npy" info object.npy
npy "{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976, 4), }" >huge.npy
refuse 1 "huge.npy" info huge.npy

# ------------------------------------------------------------------------------------------------------ bad outputs
mkdir folder
for where in folder missing/x.json /proc/mmcl.json; do
    refuse 1 "cannot write --json" info "$data" --json $where
    refuse 1 "cannot write --plot" probe "$data" --plot $where
    refuse 1 "cannot write --save" probe "$data" --save $where
    refuse 1 "cannot write --out" disentangle --fit "$pool" --transform pca:2 --apply "$pool" --out $where
done
expect 0 info "$data" --json /dev/null
[ -c /dev/null ] || fail "/dev/null was replaced by a file"
for file in old.json old.svg old.npz; do keep $file; done
refuse 1 "row 7" probe nan.npz --shots 2 --json old.json --plot old.svg --save old.npz
for file in old.json old.svg old.npz; do same $file "a probe that failed"; done
find . -maxdepth 1 -name '.mmcl-*' | grep -q . && fail "temporary files are left"
if [ -w /dev/full ]; then
    "$mmcl" info "$data" >/dev/full 2>err
    [ $? = 1 ] && [ "$(wc -l <err)" = 1 ] || fail "a full disk is not noticed"
    expect 1 info "$data" --json /dev/full
    [ "$(wc -l <err)" = 1 ] && grep -q "/dev/full: No space" err || fail "a full disk under --json: $(cat err)"
fi
ln -s target.json link.json
expect 0 info "$data" --json target.json
expect 0 info "$data" --json link.json
[ -L link.json ] || fail "a symbolic link was replaced"

# --------------------------------------------------------------------------------------------------------- identify
small="--latent 3 --private 2 --steps 400 --batch 64 --widths 16,16"
# shellcheck disable=SC2086
{
keep identify.svg
expect 0 identify $small --seeds 2 --json identify.json --plot identify.svg
valid_json identify.json
grep -q '^| sphere, uniform, vmf:10, x2t | [0-9.]* +- [0-9.]* |' out || fail "identify: $(cat out)"
grep -q '<svg' identify.svg && ! grep -q precious identify.svg || fail "identify: no plot"
expect 0 identify $small --seeds 2 --threads 1 --quiet --json - --direction mixed
cp out mixed.json
valid_json mixed.json
[ ! -s err ] || fail "identify --quiet is not: $(cat err)"
expect 0 identify $small --seeds 2 --threads 3 --quiet --json - --direction mixed
if command -v python3 >/dev/null; then
    python3 - identify.json mixed.json out <<'END' || fail "identify: the JSON is not what is promised"
import json, sys
one, two, again = (json.load(open(name)) for name in sys.argv[1:])
for key in "r2_mean r2_std mcc_mean mcc_std leakage_mean".split():
    assert len(one[key]) == 2 and all(0 <= value <= 1 for value in one[key]), key
    assert two[key] == again[key], "depends on the number of threads: " + key
assert one["steps"] == 400 and one["seconds"] > 0 and one["final_loss"] > 0 and one["latent"] == 3 and one["private_x"] == 2
assert one["r2_std"] != [0, 0] and len(one["runs"]) == 2 and len(one["runs"][0]["correlations_after"]) == 3
curve = one["runs"][0]["curve"]
assert curve[-1]["step"] == 400 and curve[-1]["loss"] < curve[0]["loss"], "nothing was learnt"
assert one["r2_mean"][0] > 0.5, one["r2_mean"]
END
fi
keep pairs.npz
expect 0 identify $small --seeds 2 --quiet --out pairs.npz
expect 0 metrics --codes pairs.npz:f_x --factors pairs.npz:z_x --metric r2 --resamples 2
awk '$1 == "r2" { r2 = $2 } END { exit !(r2 > 0) }' out && "$mmcl" info pairs.npz | grep -q 'm_t  *float32  *8192 x' || fail "identify --out: $(cat out)"
refuse 1 "no/such" identify $small --out no/such/pairs.npz
expect 0 identify $small --space box --json -
valid_json out
expect 0 identify $small --space box --starts 2 --json -
python3 - out <<'END' || fail "identify --starts 2: the start with the least loss is not the chosen one"
import json, sys
run = json.load(open(sys.argv[1]))["runs"][0]
assert len(run["start_losses"]) == 2 and run["start_losses"][run["chosen_start"]] == min(run["start_losses"])
END
expect 0 identify $small --space real --marginal gennorm:1.5 --coupling gennorm:0.1:2 --private 0 --json -
valid_json out
}

# ------------------------------------------------------------------------------------------------ train and encode
options="--widths 16 --outputs 4 --batch 32 --steps 60 --quiet"
# shellcheck disable=SC2086
{
expect 0 train --x "$pool" --t "$pool" --out pair $options --json train.json
valid_json train.json
[ -s pair.x.npz ] && [ -s pair.t.npz ] || fail "train: $(ls)"
expect 0 info pair.x.npz
expect 0 encode pair --side t --in "$pool" --out codes.npy --json encode.json
valid_json encode.json
expect 0 info codes.npy
grep -q "x 4" out || fail "encode: $(cat out)"
cp pair.x.npz before.npz
expect 0 train --x "$pool" --t "$pool" --out pair $options --threads 3
cmp -s pair.x.npz before.npz || fail "train depends on the number of threads"
refuse 1 "pairs need as many of both" train --x "$pool" --t "$data:test_x" --out other
refuse 1 "the encoder takes" encode pair --in codes.npy --out x.npy
refuse 1 "missing.x.npz" encode missing --in "$pool" --out x.npy
refuse 1 "--batch 100000" train --x "$pool" --t "$pool" --out other --batch 100000
[ -e other.x.npz ] && fail "train wrote in spite of an error"

# A checkpoint, and on from there.
cp pair.t.npz before.t.npz
expect 0 train --x "$pool" --t "$pool" --out pair $options --checkpoint c.npz
cmp -s pair.x.npz before.npz || fail "checkpoints change the training"
expect 0 info c.npz --json info.json
valid_json info.json
grep -q '"kind": "checkpoint"' info.json && grep -q '"widths_x": "96-16-4"' info.json || fail "info of a checkpoint: $(cat info.json)"
grep -q '^step 60, loss [0-9.]*, encoder x 96-16-4, encoder t 96-16-4$' out || fail "info of a checkpoint: $(cat out)"
rm pair.x.npz pair.t.npz
expect 0 train --x "$pool" --t "$pool" --out pair $options --resume c.npz --threads 1
cmp -s pair.x.npz before.npz && cmp -s pair.t.npz before.t.npz || fail "a training resumed at its end changes the encoders"
refuse 1 "missing.npz" train --x "$pool" --t "$pool" --out other $options --resume missing.npz
refuse 1 "batch is 32 there, 16 here" train --x "$pool" --t "$pool" --out other --resume c.npz --widths 16 --outputs 4 --steps 60 --batch 16
refuse 1 "optimizer is adam there, kfac here" train --x "$pool" --t "$pool" --out other $options --resume c.npz --optimizer kfac
refuse 1 "widths is 96-16-4 there, 96-8-4 here" train --x "$pool" --t "$pool" --out other --resume c.npz --widths 8 --outputs 4 --steps 60 --batch 32
refuse 1 "kind 'encoder', expected a checkpoint" train --x "$pool" --t "$pool" --out other $options --resume before.npz
head -c 3000 c.npz >short-c.npz
refuse 1 "short-c.npz" train --x "$pool" --t "$pool" --out other $options --resume short-c.npz
refuse 1 "cannot write --checkpoint" train --x "$pool" --t "$pool" --out other $options --checkpoint missing/c.npz
refuse 1 "/dev/full" train --x "$pool" --t "$pool" --out other $options --checkpoint /dev/full --checkpoint-every 5
[ -c /dev/full ] || [ ! -e /dev/full ] || fail "/dev/full was replaced by a file"
# A disk that is full after 4 blocks: the checkpoint before survives.
keep old.npz
(
    trap '' XFSZ
    ulimit -f 4
    exec "$mmcl" train --x "$pool" --t "$pool" --out other $options --checkpoint old.npz --checkpoint-every 5 >out 2>err
)
[ $? = 1 ] && grep -q "old.npz: cannot be written" err || fail "a full disk under --checkpoint: $(cat err)"
same old.npz "a checkpoint on a full disk"
[ -e other.x.npz ] && fail "train wrote in spite of an error"
find . -maxdepth 1 -name '.mmcl-*' | grep -q . && fail "temporary files of checkpoints are left"
}

# ------------------------------------------------------------------------------------------------ metrics
expect 0 metrics --codes "$data:test_x" --factors "$data:test_x" --metric r2,mcc,procrustes --resamples 5 --json metrics.json
valid_json metrics.json
grep -q '^mcc  *1.0000' out && grep -q '^procrustes  *0.0000' out && ! grep -q '^cka' out || fail "metrics of the same arrays: $(cat out)"
python3 - metrics.json <<'END' || fail "metrics.json: $(cat metrics.json)"
import json, sys
m = json.load(open(sys.argv[1]))
assert m["mcc"]["low"] <= m["mcc"]["value"] <= m["mcc"]["high"] and m["holdout"] == 0.5 and m["r2"]["rows"] < m["rows"] == m["mcc"]["rows"]
END
expect 0 metrics --codes codes.npy --factors codes.npy --resamples 3 --rows 100 --json -
valid_json out
expect 0 metrics --codes "$data:test_x" --factors "$data:test_y" --discrete --bins 10 --resamples 2 --rows 200
grep -q '^modularity  *undefined: .*at least 2' out && grep -q '^mig  *0' out || fail "an undefined metric does not say why: $(cat out)"
grep -q '^sap .*classes told right' out && grep -q '^informativeness  *0\.' out && grep -q '^r2_kernel  *[-0-9]' out ||
    fail "metrics of classes: $(cat out)"
refuse 1 "holdout: 0, expected a share" metrics --codes codes.npy --factors codes.npy --metric r2_kernel --in-sample
refuse 1 "at least 2 for modularity" metrics --codes "$data:test_x" --factors "$data:test_y" --metric modularity
refuse 1 "expected 800 as in codes" metrics --codes "$data:test_x" --factors "$data:val_x"
refuse 1 "test_z" metrics --codes "$data:test_z" --factors "$data:val_x"
refuse 2 "did you mean mcc?" metrics --codes codes.npy --factors codes.npy --metric r2,mc
refuse 2 "--factors A is needed" metrics --codes codes.npy
refuse 2 "expected below 1" metrics --codes codes.npy --factors codes.npy --holdout 1
expect 0 metrics --codes codes.npy --factors codes.npy --metric mcc --resamples 2 --plot matrix.svg
grep -q 'MCC 1.000' matrix.svg && grep -q '</svg>' matrix.svg || fail "metrics --plot: $(head -c 300 matrix.svg)"
refuse 2 "same name" metrics --codes codes.npy --factors codes.npy --json a --plot a
refuse 2 "exclude each other" metrics --codes codes.npy --factors codes.npy --holdout 0.3 --in-sample

# Latents on a sphere on which automatic signs mislead: a note, and a recommendation with fixed ones.
expect 0 identify --space sphere --center origin --marginal laplace --steps 1 --batch 16 --widths 4 --out sphere.npz --json -
expect 0 disentangle --fit sphere.npz:z_x --transform ica --json signs.json
grep -q 'automatic signs mislead' err && grep -q 'ask for ica:10:picard:super' err || fail "no note on signs: $(cat err)"
grep -q '"advice": "super"' signs.json || fail "no advice on signs: $(cat signs.json)"
expect 0 disentangle --fit sphere.npz:z_x --transform ica:picard:super --json -
! grep -q signs out && ! grep -q mislead err || fail "a note on signs that are fixed: $(cat out err)"
expect 0 analyse sphere.npz:z_x --components 10 --runs 2 --json -
grep -q '"recommendation": "ica:10:picard:super+normalize"' out || fail "analyse on a sphere: $(cat out)"

# ------------------------------------------------------------------------------------------------ analyse
keep report.html
expect 0 analyse "$pool" --runs 3 --components 24 --report report.html --json analyse.json
valid_json analyse.json
grep -q '^recommended  ica:24+normalize' out || fail "independent latents go unseen: $(cat out)"
grep -q '</html>' report.html && [ "$(grep -c '<svg' report.html)" = 2 ] || fail "report: $(head -c 300 report.html)"
expect 0 analyse "$pool" --runs 2 --bootstrap --components 4 --tolerance 1e-3 --json -
valid_json out
expect 0 analyse "$pool" --runs 2 --components 6 --classes "$data" --report named.html --json named.json
valid_json named.json
grep -q '^component ' out && [ "$(grep -c '<svg' named.html)" = 8 ] && grep -q '"high"' named.json || fail "classes do not tell components: $(cat out)"
refuse 1 "missing.npz" analyse "$pool" --classes missing.npz
refuse 1 "has 96 columns" analyse "$pool" --components 97
refuse 1 "missing.npy" analyse missing.npy
refuse 2 "expected one array" analyse
refuse 2 "same name" analyse "$pool" --json a --report a
keep report.html
refuse 1 "NaN or infinity in" analyse nan.npz:test_x --report report.html
same report.html "analyse of NaN"

# -------------------------------------------------------------------------------------------------- adapt
expect 0 adapt "$data" --method zeroshot,ncm --shots 1,4 --transform raw --transform whiten:32+normalize --pool "$pool" --seeds 2 \
    --json adapt.json --plot adapt.svg --save head.npz --quiet
valid_json adapt.json
python3 - adapt.json <<'END' || fail "adapt: the JSON is not what is promised"
import json, sys
run = json.load(open(sys.argv[1]))
rows = run["rows"]
assert len(rows) == 2 * 2 * 2 * 2 and len(run["groups"]) == 8
for row in rows:
    assert row["method"] in ("zeroshot", "ncm") and 0 < row["test_accuracy"] <= 1 and 0 < row["accuracy_shift"] <= 1 and row["leaks"] == []
    assert row["test_low"] < row["test_accuracy"] < row["test_high"] and row["low_shift"] < row["accuracy_shift"] < row["high_shift"]
    assert 0 <= row["test_ece"] <= 1 and 0 <= row["ece_shift"] <= 1 and row["accuracy_mean"] == row["accuracy_shift"]
best = {(row["method"], row["transform"], row["shots"]): row["test_accuracy"] for row in rows}
assert best["ncm", "whiten:32+normalize", 4] > best["ncm", "raw", 4] + 0.1
assert best["zeroshot", "raw", 1] == best["zeroshot", "raw", 4] > 0.6
saved = rows[run["saved_row"]]
assert saved["val_accuracy"] == max(row["val_accuracy"] for row in rows)
open("saved_accuracy", "w").write(repr(saved["test_accuracy"]))
END
[ "$(grep -c '<polyline' adapt.svg)" = 4 ] || fail "adapt: not four lines in the plot"
expect 0 predict head.npz --in "$data:test_x" --out predicted.npz
python3 - "$data" predicted.npz saved_accuracy <<'END' || fail "a saved head does not predict what it was measured to"
import sys, zipfile, struct, ast
def load(path, key):
    raw = zipfile.ZipFile(path).read(key + ".npy")
    size = struct.unpack("<H", raw[8:10])[0]
    head = ast.literal_eval(raw[10:10 + size].decode())
    code = {"<i8": "q", "<i4": "i"}[head["descr"]]
    return struct.unpack("<%d%s" % (head["shape"][0], code), raw[10 + size:])
right = [a == b for a, b in zip(load(sys.argv[2], "classes"), load(sys.argv[1], "test_y"))]
assert abs(sum(right) / len(right) - float(open(sys.argv[3]).read())) < 1e-9
END
expect 0 adapt "$data" --method zeroshot --shots 1 --text "$data:text_x" --quiet --json -
cp out own.json
expect 0 adapt "$data" --method zeroshot --shots 1 --quiet --json -
python3 - own.json out <<'END' || fail "--text of the data set's own prompts is another zero-shot"
import json, sys
a, b = (json.load(open(name))["rows"][0]["test_accuracy"] for name in sys.argv[1:])
assert a == b
END
expect 0 adapt "$data" --method ncm --shots 2 --transform whiten:8 --protocol paper --quiet --json -
grep -q 'transform saw val rows' out || fail "a leak of the paper's protocol is not told"
refuse 2 "--method M is needed" adapt "$data"
refuse 2 "did you mean clap?" adapt "$data" --method clop
refuse 1 "cannot be opened" adapt "$data" --method zeroshot --text missing.npy
refuse 1 "rows without labels; expected one for each of the 20 classes" adapt "$data" --method zeroshot --text "$pool"
refuse 1 "features need 2 dimensions" adapt "$data" --method zeroshot --text "$data:text_y"
# -------------------------------------------------------------------------------------------------- align
# The same rows under a rotation: components fitted on each side find each other, and with them the partners; raw rows do not.
expect 0 disentangle --fit "$pool" --transform pca --apply "$pool" --out turned.npy
expect 0 align --x "$pool" --t turned.npy --transform ica:4:picard --splits 2 --fit-pairs 3900 --json align.json
valid_json align.json
awk '$2 == "raw" { raw = $3 } $1 == "ica:4:picard" && $2 == "separate" { found = $3; aligned = $(NF - 1) }
     END { exit !(raw < 20 && found > 90 && aligned > 3.9) }' out || fail "a rotation is not undone: $(cat out)"
expect 0 align --x "$data:test_x" --t "$data:test_x" --transform ica:12 --splits 2 --quiet
awk '$2 == "raw" && $3 == "100.00" { raw = 1 } $2 == "shared" && $3 > 99 { shared = 1 } END { exit !(raw && shared) }' out ||
    fail "rows do not find themselves: $(cat out)"
refuse 2 "--x A and --t B are needed" align --x turned.npy
refuse 1 "pairs need as many of each" align --x turned.npy --t "$data:test_x"
refuse 1 "at least 4 have to judge" align --x turned.npy --t turned.npy --fit-pairs 3997
refuse 2 "--transform" align --x turned.npy --t turned.npy --transform icaa
refuse 1 "rank" align --x turned.npy --t turned.npy --transform ica:96 --fit-pairs 50

exit $failed
