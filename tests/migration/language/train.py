import argparse
import json
import logging
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "src"))

from lm.config import Config
from lm.train_lib import Trainer


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs"))
    parser.add_argument("--activation", default="gelu")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    config = Config(mlp_activations=(args.activation, "linear"), steps=args.steps)
    print(json.dumps(Trainer(config, args.workdir.absolute()).run()))


if __name__ == "__main__":
    main()
