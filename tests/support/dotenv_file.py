"""A `.env` file as people write it by hand, with everything that programs disagree about, and what it says."""

from __future__ import annotations

#: Lines, and the names and values that the npm package dotenv reads in them.
LINES = [
    ("\ufeffMARK=1", {"MARK": "1"}),
    ('DOUBLE="value" # comment', {"DOUBLE": "value"}),
    ("BARE=value # comment", {"BARE": "value"}),
    ("SINGLE='v # no comment'", {"SINGLE": "v # no comment"}),
    (
        'PEM="-----BEGIN KEY-----\nMIIB+/ab==\n-----END KEY-----" # key\nAFTER=2',
        {"PEM": "-----BEGIN KEY-----\nMIIB+/ab==\n-----END KEY-----", "AFTER": "2"},
    ),
    ('TICKS=`it\'s "so"`', {"TICKS": 'it\'s "so"'}),
    ('FEED="a\\nb\\rc"', {"FEED": "a\nb\rc"}),
    ("NO_FEED='a\\nb'", {"NO_FEED": "a\\nb"}),
    ("DOS=1\r\nDOS_QUOTED='2'\r\n", {"DOS": "1", "DOS_QUOTED": "2"}),
    ("EMPTY=\nNEXT=2", {"EMPTY": "", "NEXT": "2"}),
    ("BELOW=\n'next line'", {"BELOW": "next line"}),
    ('ODD="a" b"', {"ODD": 'a" b'}),
    ("COLON: value", {"COLON": "value"}),
    ("export EXPORTED=v", {"EXPORTED": "v"}),
    ("TWICE=1\nTWICE=2", {"TWICE": "2"}),
    ("# NOT=1\n  # NOT_EITHER=2", {}),
    ("BACKSLASH=a\\#b", {"BACKSLASH": "a\\"}),
    ("DOLLAR=$HOME ${DOUBLE} 100% $$", {"DOLLAR": "$HOME ${DOUBLE} 100% $$"}),
    ("a.b-c=dots", {"a.b-c": "dots"}),
    ("1ST=digit", {"1ST": "digit"}),
    ("ESCAPED='it\\'s'", {"ESCAPED": "it\\'s"}),
    ("FOREIGN=caf\u00e9", {"FOREIGN": "caf\u00e9"}),
    ("no variable at all", {}),
    ("UNCLOSED='a\nLAST=2", {"UNCLOSED": "'a", "LAST": "2"}),
]
TEXT = "".join(text + "\n" for text, _values in LINES)
VALUES = {name: value for _text, values in LINES for name, value in values.items()}
