"""Generates scripts that complete the command line in a shell."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

__all__ = ["SHELLS"]

_BASH = """\
# eval "$(linen-store completion bash)"
_linen_store() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} words=
    if [[ $COMP_CWORD -eq 1 ]]; then
        words="{commands}"
    else
        case "${{COMP_WORDS[1]}} ${{COMP_WORDS[COMP_CWORD-1]}}" in
{values}
            *) if [[ $current == -* ]]; then
                case "${{COMP_WORDS[1]}}" in
{options}
                esac
            fi ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    [[ -n $words ]] || COMPREPLY=($(compgen -f -- "$current"))
}}
complete -o filenames -F _linen_store linen-store
"""

_ZSH = """\
#compdef linen-store
# eval "$(linen-store completion zsh)", after compinit
_linen_store() {{
    if (( CURRENT == 2 )); then
        compadd -- {commands}
        return
    fi
    case "$words[2] $words[CURRENT-1]" in
{values}
    esac
    if [[ $PREFIX == -* ]]; then
        case "$words[2]" in
{options}
        esac
        return
    fi
    _files
}}
compdef _linen_store linen-store
"""

_FISH_HEAD = "# linen-store completion fish | source"


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (found,) = (
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    return dict(found.choices)


def _options(parser: argparse.ArgumentParser) -> list[str]:
    return [
        max(action.option_strings, key=len) for action in parser._actions if action.option_strings
    ]


def _choices(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[str]]]:
    """Yield each option with choices, or an empty string for the command itself, and its choices."""
    for action in parser._actions:
        if action.choices is not None:
            last = max(action.option_strings, key=len, default="")
            yield last, list(map(str, action.choices))


def _cases(parser: argparse.ArgumentParser, value: str, option: str, indent: int) -> dict[str, str]:
    """Return the branches of a script for each command."""
    space = " " * indent
    values, options = [], []
    for name, command in _commands(parser).items():
        for last, choices in _choices(command):
            pattern = f'"{name} {last or name}"'
            values.append(space + value.format(pattern=pattern, words=" ".join(choices)))
        options.append(space + option.format(pattern=name, words=" ".join(_options(command))))
    return {
        "commands": " ".join([*_commands(parser), *_options(parser)]),
        "values": "\n".join(values),
        "options": "\n".join(space + line for line in options),
    }


def _bash(parser: argparse.ArgumentParser) -> str:
    branch = '{pattern}) words="{words}" ;;'
    return _BASH.format(**_cases(parser, branch, branch, 12))


def _zsh(parser: argparse.ArgumentParser) -> str:
    value, option = "{pattern}) compadd -- {words}; return ;;", "{pattern}) compadd -- {words} ;;"
    return _ZSH.format(**_cases(parser, value, option, 8))


def _fish(parser: argparse.ArgumentParser) -> str:
    lines = [_FISH_HEAD]
    first = "complete -c linen-store -n __fish_use_subcommand"
    helps = {
        choice.dest: choice.help or ""
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for choice in action._choices_actions
    }
    lines += [f"{first} -f -a {name} -d {_quoted(helps[name])}" for name in _commands(parser)]
    lines += [f"{first} -f -l {option[2:]}" for option in _options(parser)]
    for name, command in _commands(parser).items():
        seen = f"complete -c linen-store -n '__fish_seen_subcommand_from {name}'"
        for action in command._actions:
            words = " ".join(map(str, action.choices or ()))
            given = f" -x -a '{words}'" if words else " -r" * (action.nargs != 0)
            if action.option_strings:
                long = max(action.option_strings, key=len)[2:]
                lines.append(f"{seen} -l {long}{given} -d {_quoted(action.help or '')}")
            elif words:
                lines.append(f"{seen} -f -a '{words}'")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: dict[str, Callable[[argparse.ArgumentParser], str]] = {
    "bash": _bash,
    "fish": _fish,
    "zsh": _zsh,
}
"""The generator of each shell."""
