"""Perform what the two parties of a session could try, and say how far each attack comes.

python benchmarks/attacks.py [--pairs N] [--json]

Four attacks on programs of 128-bit security, all performed by the tests too (tests/encrypted/attacks):

1. the client solves for weights by least squares on what it decrypts;
2. the client solves for weights from the residues and the noise of ciphertexts, of servers that leave out a protection
   and of the real one;
3. the server trains on pairs of image and upload, and reconstructs images from other uploads;
4. the client undoes permutations and factors of a server that obfuscates.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from tests.encrypted.attacks import ciphertexts, uploads
from tests.encrypted.attacks.equations import Solution, solve_convolution
from tests.encrypted.attacks.features import VIEWS
from tests.encrypted.attacks.images import phantoms, two_pictures
from tests.encrypted.attacks.learners import LEARNERS
from tests.encrypted.attacks.limbs import BareEvaluator, DroppingEvaluator, RerandomisingEvaluator
from tests.encrypted.attacks.networks import FILTERS, layer, noise_image, pixel_map, red_cnn_head
from tests.encrypted.attacks.obfuscation import linked, obfuscated_query, rows_of, sorted_filters
from tests.encrypted.attacks.observation import Seen, query
from tests.encrypted.attacks.reconstruction import attack
from tests.encrypted.attacks.sums import Sums, asked

import enclair
from enclair.compiler.program import Program
from enclair.runtime.backends.bfv.evaluate import BfvEvaluator
from enclair.runtime.backends.bfv.keys import generate_keys

TERMS, LARGEST = 25, 2**11
REPEATS = 64
FEWEST_PAIRS = 300
SERVERS = (BareEvaluator, DroppingEvaluator, RerandomisingEvaluator, BfvEvaluator)
NAMES = ("bare sums", "primes dropped alone", "fresh masks alone", "as it is sent")
ATTACKS = ("dividing", "elimination", "guessing", "noise")
Row = dict[str, Any]


def by_decryption() -> list[Row]:
    """RED-CNN's first layer, and one behind it: the part that least squares gets right after 1 and 2 queries."""
    large, small = red_cnn_head(32), red_cnn_head(5, pad=2, outputs=1, kernel=1)
    return [*_layers(large, 32, ((0, 5, 0), (1, 3, 1))), *_layers(small, 5, ((0, 5, 2),))]


def _layers(program: Program, extent: int, convolutions: Sequence[tuple[int, int, int]]) -> Iterator[Row]:
    """Layers by number, kernel and padding."""
    keys, exposures = generate_keys(program.parameters), enclair.inspect(program).exposures
    queries = [query(program, keys, noise_image(extent, seed)) for seed in (10, 11)]
    for number, kernel, pad in convolutions:
        claim = exposures[number]
        unknowns = sum(system.unknowns * system.copies for system in claim.systems)
        for count in (1, 2):
            found = _solved(program, queries[:count], number, kernel, pad)
            stated = {"unknowns": unknowns, "queries": count, "predicted_queries": claim.queries}
            yield {"extent": extent, "layer": number + 1, **stated, **found}


def _solved(program: Program, queries: Sequence[Sequence[Seen]], number: int, kernel: int, pad: int) -> Row:
    seen, start = [rounds[number] for rounds in queries], time.perf_counter()
    found = solve_convolution([s.sent for s in seen], [s.received for s in seen], kernel, pad)
    return {"exact": _exact(found, program, number), "seconds": time.perf_counter() - start}


def _exact(found: Solution, program: Program, number: int) -> float:
    weights, biases = layer(program, number)
    hits = np.concatenate([(found.weights == weights).reshape(-1), found.biases == biases])
    return float(hits.mean())


def on_ciphertexts() -> list[Row]:
    """The part of the weights that a client gets right from ciphertexts alone, by attack and server."""
    program = red_cnn_head(12, outputs=1, kernel=1)
    keys, random = generate_keys(program.parameters), np.random.default_rng(1)
    weights = random.integers(-LARGEST, LARGEST + 1, (FILTERS, TERMS))
    slots = keys.parameters.slots
    image = asked(keys, random.integers(-LARGEST, LARGEST, (TERMS, slots)))
    zeros = asked(keys, np.zeros((TERMS, slots), dtype=np.int64))
    return [
        {"server": name, **_attacked(image, zeros, server, weights)}
        for server, name in zip(SERVERS, NAMES, strict=True)
    ]


def _attacked(image: Sums, zeros: Sums, server: type[BfvEvaluator], weights: np.ndarray) -> Row:
    parameters, single = image.keys.parameters, weights[:, :1]
    products = image.answers(server, single)
    divided = ciphertexts.divide_residues(parameters, image.query[0], products)
    eliminated = ciphertexts.eliminate_residues(parameters, image.query, image.answers(server, weights))
    noise = zeros.answers(server, np.repeat(weights[:1], REPEATS, axis=0))
    regressed = np.rint(ciphertexts.regress_noise(zeros.keys, zeros.query, noise).mean(axis=1))
    return {
        "dividing": float((divided == single).mean()),
        "elimination": float((eliminated == weights.T).mean()),
        "guessing": _guessed(image, server, products[:16], single[:16]),
        "noise": float((regressed == weights[0]).mean()),
    }


def _guessed(image: Sums, server: type[BfvEvaluator], products: np.ndarray, weights: np.ndarray) -> float | None:
    """Only what has lost primes is worth a guess."""
    if server not in {DroppingEvaluator, BfvEvaluator}:
        return None
    found = ciphertexts.guess_weights(image.keys.parameters, image.query[0], products, LARGEST)
    return float((found == weights[:, 0]).mean())


def on_uploads(pairs: int) -> list[Row]:
    """Reconstructions by every attacker: of uploads, and of what broken schemes would send."""
    program, images, two = pixel_map(8), phantoms(pairs, 8, 1), two_pictures(pairs, 8, 2)
    keys = generate_keys(program.parameters)
    real = {"uploads": images, "uploads of two pictures": two}
    sent = {source: uploads.encrypted(program, keys, pictures) for source, pictures in real.items()}
    shown = [(name, source, limbs, real[source]) for source, limbs in sent.items() for name in VIEWS]
    shown += [
        (name, source.__name__.replace("_", " "), source(program, keys, images), images)
        for name, source in uploads.BROKEN.items()
    ]
    rows = [
        {"source": source, "view": name, **row}
        for name, source, limbs, pictures in shown
        for row in _trained(VIEWS[name](keys, limbs), pictures)
    ]
    slots = uploads.slots_of(program, images).astype(np.float64)
    return rows + [{"source": "slots in the clear", "view": "slots", **row} for row in _trained(slots, images)]


def _trained(features: np.ndarray, images: np.ndarray) -> Iterator[Row]:
    for name, learner in LEARNERS.items():
        outcome = attack(features, images, learner, len(images) * 2 // 3)
        yield {"learner": name, **asdict(outcome), "beats_chance": outcome.beats_chance}


def on_obfuscation() -> list[Row]:
    """The part that two obfuscated sessions give away of RED-CNN's first layer, and of one behind it."""
    program = red_cnn_head(32)
    keys = generate_keys(program.parameters)
    queries = [obfuscated_query(program, keys, noise_image(32, seed)) for seed in (10, 11)]
    sessions = [rounds for _, rounds in queries]
    first, behind = (rows_of(*layer(program, number)) for number in (0, 1))
    order = np.lexsort(first.T[::-1])
    found = sorted_filters(solve_convolution([sessions[0][0].sent], [sessions[0][0].received], 5, 0))[0]
    second = linked(sessions, 0, 5)
    weights, biases = layer(program, 1)
    factors = [(answer.divisors() == answer.factors).mean() for answer, _ in queries]
    return [
        {"what": "factors", "queries": 1, "unknowns": FILTERS, "found": float(np.mean(factors))},
        {"what": "filters, in any order", "queries": 1, "unknowns": first.size, "found": _share(found, first[order])},
        {
            "what": "the layer behind",
            "queries": 2,
            "unknowns": behind.size,
            "found": _share(rows_of(second.weights, second.biases), rows_of(weights[:, order], biases)),
        },
    ]


def _share(found: np.ndarray, wanted: np.ndarray) -> float:
    return float((found == wanted).mean())


def show(figures: Mapping[str, Any]) -> None:
    """Print the figures as tables."""
    print("Least squares on what the client decrypts, by layer: part of the weights that is exact")
    for row in figures["by_decryption"]:
        where = f"{row['layer']} on {row['extent']}x{row['extent']}: {row['unknowns']} unknowns"
        asked = f"{row['queries']} of the {row['predicted_queries']} queries that inspect states"
        print(f"  {where}, {asked}: {row['exact']:.1%}")
    print("Ciphertexts alone: part of the weights that is found")
    for row in figures["on_ciphertexts"]:
        parts = {name: row[name] for name in ATTACKS if row[name] is not None}
        print(f"  {row['server']:22}" + ", ".join(f"{name} {part:.1%}" for name, part in parts.items()))
    print("A server that permutes and scales: part that the client finds")
    for row in figures["on_obfuscation"]:
        print(f"  {row['what']}, {row['unknowns']} unknowns, queries: {row['queries']}: {row['found']:.1%}")
    print("Reconstruction: PSNR (of the mean image), pairs told apart (the most by luck)")
    for row in figures["on_uploads"]:
        print(
            f"  {row['source']:24}{row['view']:12}{row['learner']:11}{row['psnr_db']:5.1f} ({row['mean_psnr_db']:.1f})"
            f" dB, {row['wins']} of {row['games']} ({row['most_wins']}){', seen' if row['beats_chance'] else ''}"
        )


def main() -> None:
    """Attack and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=600, help="images with their uploads, a third of them held back")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.pairs < FEWEST_PAIRS:
        parser.error(f"--pairs must be at least {FEWEST_PAIRS}, or luck could win every game; got {options.pairs}")
    figures = {
        "by_decryption": by_decryption(),
        "on_ciphertexts": on_ciphertexts(),
        "on_obfuscation": on_obfuscation(),
        "on_uploads": on_uploads(options.pairs),
        "pairs": options.pairs,
    }
    print(json.dumps(figures, indent=2)) if options.json else show(figures)


if __name__ == "__main__":
    main()
