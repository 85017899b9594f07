#!/bin/sh
# Builds libmmcl and shows its main jobs: latents recovered from a synthetic model, and few-shot classifiers on synthetic features. On Debian, as root, it installs what is missing first.
set -eu
cd "$(dirname "$0")/.."
build="build-demo"
out=$build/demo

sh tests/packages.sh build >&2
echo "Building in $build ..."
[ -f $build/build.ninja ] || meson setup $build -Dtests=false >$build.log 2>&1 || { cat $build.log >&2; exit 1; }
ninja -C $build >$build.log 2>&1 || { cat $build.log >&2; exit 1; }
rm -f $build.log
mkdir -p $out
mmcl=$build/examples/cli/mmcl

step() { # shows a command, then runs it
    echo
    echo "\$ $*"
    "$@"
}

echo
echo "Pairs of observations x and t from a latent partial causal model; two encoders that see the pairs alone. How much of the"
echo "latents do they recover, on fresh pairs? In a box each output is to be one latent (MCC: mean |correlation| of matched"
echo "pairs); leakage, R2 of the private latents, is to stay near 0:"
step $mmcl identify --space box --steps 8000 --plot $out/box.svg --json $out/box.json

echo
echo "On a sphere the latents come back up to a rotation (R2 of a linear map to the true ones):"
step $mmcl identify --space sphere --steps 12000 --plot $out/sphere.svg --json $out/sphere.json

echo
echo "A synthetic few-shot data set: independent latents, mixed and normalised as CLIP features are; and a pool of"
echo "unlabelled rows of other classes."
step $build/examples/make_fewshot $out/data.npz $out/pool.npy
step $mmcl info $out/data.npz

echo
echo "Independent components of the pool, kept as a model:"
step $mmcl disentangle --fit $out/pool.npy --transform ica:32 --save $out/ica.npz --apply $out/data.npz:test_x \
    --out $out/components.npy --json $out/disentangle.json

echo
echo "A linear probe on few rows a class; the transforms are fitted on the pool, never on test rows. \"shift\" is the test"
echo "set of another domain:"
step $mmcl probe $out/data.npz --shots 1,2,4,8,16 --transform raw --transform whiten:32+normalize --transform ica:32+normalize \
    --pool $out/pool.npy --save $out/pipeline.npz --plot $out/probe.svg --json $out/probe.json

echo
echo "The best pipeline on rows that it has not seen (number, name and score of the class; the first three):"
echo "\$ $mmcl predict $out/pipeline.npz --in $out/data.npz:test_x"
$mmcl predict $out/pipeline.npz --in $out/data.npz:test_x >$out/predictions.tsv
head -n 3 $out/predictions.tsv

echo
echo "Files in $out:"
echo "  box.svg, sphere.svg            the scores over the steps, and |correlation| of outputs and latents before and after"
echo "  probe.svg                      accuracy over shots, one line a transform; open it in a browser"
echo "  box.json, sphere.json, probe.json, disentangle.json: every number above, with the settings"
echo "  ica.npz, pipeline.npz          the saved transform and classifier; a C program loads them, and numpy reads them"
echo "  components.npy                 the test rows as independent components"
echo "  predictions.tsv                the predictions"
echo "With your own features: $mmcl help probe"
