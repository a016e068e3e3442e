#!/usr/bin/env python
import argparse
import importlib
import json
import os

from train import train_and_evaluate


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", default="tiny")
    parser.add_argument("--model")
    parser.add_argument("--workdir", default="runs")
    args = parser.parse_args()
    config = importlib.import_module(f"configs.{args.config}").get_config()
    if args.model:
        config = config.replace(model=args.model)
    result = train_and_evaluate(config, os.path.abspath(args.workdir))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
