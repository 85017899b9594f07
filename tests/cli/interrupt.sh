#!/bin/sh
# interrupt.sh MMCL POOL.npy: Ctrl-C ends a long run with exit 130, one line, and nothing left behind.
set -u
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
echo precious >"$tmp/model.npz"
env --default-signal=INT true 2>/dev/null || exit 77 # sh ignores it for jobs in the background; only newer coreutils undo that
# The tolerance cannot be reached, so only the signal ends this fit.
env --default-signal=INT "$1" disentangle --fit "$2" --transform ica:20 --tolerance 1e-300 --max-iterations 4000000000 --save "$tmp/model.npz" 2>"$tmp/err" &
pid=$!
sleep 1
kill -INT $pid
wait $pid
code=$?
if [ $code != 130 ] || [ "$(cat "$tmp/err")" != "mmcl disentangle: interrupted" ] || [ "$(cat "$tmp/model.npz")" != precious ] ||
    [ "$(ls "$tmp" | wc -l)" != 2 ]; then
    echo "exit $code, said: $(cat "$tmp/err"), left: $(ls "$tmp")"
    exit 1
fi

# A training: Ctrl-C after its first checkpoint, then on from there, ends with the same bits as one that was left alone.
train="train --x $2 --t $2 --widths 8 --outputs 2 --batch 16 --steps 20000 --quiet"
# shellcheck disable=SC2086
{
"$1" $train --out "$tmp/whole" || exit 1
env --default-signal=INT "$1" $train --out "$tmp/part" --checkpoint "$tmp/c.npz" --checkpoint-every 100 2>"$tmp/err" &
pid=$!
until [ -e "$tmp/c.npz" ]; do # from then on a step has been done
    kill -0 $pid || exit 1
    sleep 0.05
done
kill -INT $pid
wait $pid
code=$?
if [ $code != 130 ] || [ "$(cat "$tmp/err")" != "mmcl train: interrupted" ] || [ -e "$tmp/part.x.npz" ]; then
    echo "exit $code, said: $(cat "$tmp/err"), left: $(ls "$tmp")"
    exit 1
fi
"$1" $train --out "$tmp/part" --resume "$tmp/c.npz" || exit 1
}
for side in x t; do
    cmp "$tmp/whole.$side.npz" "$tmp/part.$side.npz" || exit 1
done
