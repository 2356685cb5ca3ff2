"""Templates that attack whoever renders them: each wants time, memory, or a way out of the sandbox.

None is longer than a template may be, so that each is stopped by what it does.
"""

GROW = "{% set ns = namespace(x=START) %}{% for i in range(60) %}{% set ns.x = STEP %}{% endfor %}"


def grow(start: str, step: str, then: str = "{{ ns.x }}") -> str:
    """A template that repeats a step which doubles something, 60 times."""
    return GROW.replace("START", start).replace("STEP", step) + then


def often(inner: str, times: int = 99_999) -> str:
    """A loop around a piece of template."""
    return "{% for i in range(" + str(times) + ") %}" + inner + "{% endfor %}"


MILLION_A = "{% set a = 'a' * 1000000 %}"
MILLION_ONES = "{% set a = [1] * 1000000 %}{% set b = [1] * 1000000 %}"

ESCAPES = {
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "message class": "{{ messages.__class__.__mro__ }}",
    "attr filter": "{{ (''|attr('__class__')|attr('__mro__')).x }}",
    "map attribute": "{{ ['a']|map(attribute='__class__')|list|first|attr('mro') ~ x.y.z }}",
    "globals": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "function globals": "{{ raise_exception.__globals__.x }}",
    "filter of method": "{{ (''|attr('format')).__self__.x.y }}",
    "mro": "{% for k in range.__class__.mro() %}{{ k }}{% endfor %}",
    "dict mro": "{{ dict.mro() }}",
    "format": "{{ '{0.__class__.__mro__}'.format('a') ~ x.y.z }}",
    "format_map": "{{ '{a.__class__}'.format_map({'a': 1}) }}",
    "generator frame": "{{ ([1]|map('string')).gi_frame.f_globals }}",
    "import": "{% import 'os' as o %}{{ o }}",
    "include": "{% include '/etc/passwd' %}",
    "extends": "{% extends 'base' %}",
    "private name": "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
    "change messages": "{{ messages.append(1) }}",
    "change a message": "{{ messages[0].update({'role': 'system'}) }}",
    "bytes": "{{ ('a' * 1000).encode().hex() }}",
    "to_bytes": "{{ (5).to_bytes(10**9, 'big') }}",
}

SIZES = {
    "text": "{{ 'a' * 10**10 }}",
    "text variable": "{% set n = 10**9 %}{{ 'ab' * n }}",
    "list": "{{ [1] * 10**9 }}",
    "range": "{{ range(10**9)|list }}",
    "power": "{{ 10 ** (10 ** 10) }}",
    "power of two": "{{ 2 ** 1000000 }}",
    "square": grow("3", "ns.x * ns.x"),
    "doubled +": grow("'a'", "ns.x + ns.x"),
    "doubled ~": grow("'a'", "ns.x ~ ns.x"),
    "doubled %": grow("'a'", "'%s%s' % (ns.x, ns.x)"),
    "doubled format": grow("'a'", "'{0}{0}'.format(ns.x)"),
    "doubled format filter": grow("'a'", "'%s%s'|format(ns.x, ns.x)"),
    "doubled join": grow("'a'", "[ns.x, ns.x]|join"),
    "doubled replace": grow("'ab'", "ns.x.replace('a', 'ab' ~ ns.x)"),
    "doubled messages": grow("messages", "ns.x + ns.x"),
    "list of lists": grow("[1]", "[ns.x, ns.x]"),
    "tuple as key": grow("(1,)", "(ns.x, ns.x)", "{{ {ns.x: 1} }}"),
    "JSON of dicts": grow("{}", "{'a': ns.x, 'b': ns.x}", "{{ ns.x|tojson }}"),
    "JSON of called dicts": grow("{}", "dict(a=ns.x, b=ns.x)", "{{ ns.x|tojson }}"),
    "dict items": grow("{1: 2}", "{1: ns.x.items(), 2: ns.x.items()}"),
    "dict values": grow("{1: 2}", "{1: ns.x.values(), 2: ns.x.values()}"),
    "namespaces": grow("1", "namespace(a=ns.x, b=ns.x)") + "{{ x.y.z }}",
    "center": "{{ 'a'.center(10**9) }}",
    "center filter": "{{ 'a'|center(10**9) }}",
    "ljust": "{{ 'a'.ljust(10**10) }}",
    "zfill": "{{ 'a'.zfill(10**10) }}",
    "% width": "{{ '%1000000000d' % 1 }}",
    "% star": "{{ '%*d' % (10**9, 1) }}",
    "% precision": "{{ '%.999999999f' % 1.0 }}",
    "format width": "{{ '{:>1000000000}'.format(1) }}",
    "format nested": "{{ '{:>{}}'.format(1, 10**9) }}",
    "format filter": "{{ '%1000000000d'|format(1) }}",
    "replace": MILLION_A + "{{ a.replace('a', a) }}",
    "replace nothing": MILLION_A + "{{ a|replace('', a) }}",
    "join": MILLION_A + "{{ a.join(['b'] * 1000000) }}",
    "join filter": MILLION_A + "{{ (['b'] * 1000000)|join(a) }}",
    "join text": MILLION_A + "{{ a.join(a) }}",
    "indent": "{{ ('\\n' * 1000000)|indent(1000) }}",
    "indent width": "{{ 'a\\nb'|indent(10**9) }}",
    "JSON indent": "{{ [[1]]|tojson(indent=10**9) }}",
    "JSON separators": MILLION_A + "{{ range(1000)|list|tojson(separators=(a, a)) }}",
    "batch": "{{ [1]|batch(10**9, 'x')|list }}",
    "slice": "{{ [1]|slice(10**9)|list }}",
    "round": "{{ 5|round(-1000000000) }}",
    "translate": "{{ ('a' * 100000).translate({97: 'x' * 100000}) }}",
    "date": "{{ strftime_now('%1000000000d') }}",
    "long date": "{{ strftime_now('%d' * 1000000) }}",
    "lorem ipsum": "{{ lipsum(n=10**6) }}",
    "static text": often("x" * 10_000),
    "static text in a variable": often("{% set x %}" + "x" * 10_000 + "{% endset %}"),
    "static text in a filter": often("{% filter upper %}" + "x" * 10_000 + "{% endfilter %}"),
    "many variables": MILLION_A + "".join(f"{{%set v{i}=a~{i}%}}" for i in range(2500)),
    "slices": MILLION_A + "{{ [" + ",".join(f"a[{i}:]" for i in range(7000)) + "]|length }}",
    "number from text": "{{ ('f' * 1000000)|int(base=16) }}",
    "itself": "{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns.a }}{{ ns.a.x.y }}",
}

TIMES = {
    "loops": often(often("")),
    "loops with text": often(often("x")),
    "loops continued": often(often("{% continue %}")),
    "loops with a test": often(often("{% if i is divisibleby 3 %}{% endif %}")),
    "generation block": "{% generation %}" + often(often("")) + "{% endgeneration %}",
    "recursion": "{% macro f(x) %}{{ f(x + 1) }}{% endmacro %}{{ f(0) }}",
    "two calls": "{% macro f(x) %}{% if x %}{{ f(x-1) }}{{ f(x-1) }}{% endif %}{% endmacro %}"
    "{{ f(60) }}",
    "two calls joined": "{% macro f(x) %}{% if x %}{{ f(x-1) ~ f(x-1) }}{% endif %}{% endmacro %}"
    "{{ f(60) }}",
    "recursive loop": "{% for a in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
    "compare": MILLION_ONES + "{{ " + " and ".join(["a==b"] * 7000) + " }}",
    "compare in a chain": MILLION_ONES + "{{ " + "==".join(["a", "b"] * 7000) + " }}",
    "look in a list": MILLION_ONES + "{{ " + " or ".join(["2 in a"] * 6000) + " }}",
    "search from the right": MILLION_A + "{% set b = 'b' + 'a' * 500000 %}{{ a.rfind(b) }}",
    "search": MILLION_A + "{% set b = 'a' * 50 + 'b' %}" + often("{{ a.find(b) }}"),
    "split": "{% set a = 'a ' * 900000 %}" + often("{% set b = a.split() %}"),
    "title": "{% set a = 'a ' * 900000 %}" + often("{% set b = a.title() %}"),
    "sort": often("{% set x = range(99999)|sort %}"),
    "unique": often("{% set x = range(99999)|unique|list %}"),
    "group": "{% set x = [{'a': 1}] * 100000 %}" + often("{% set y = x|groupby('a') %}"),
    "map": often("{% set x = range(99999)|map('string')|map('length')|sum %}"),
    "maps of maps": "{% set ns = namespace(g=range(99999)) %}"
    + often("{% set ns.g = ns.g|map('string') %}")
    + "{{ ns.g|list|length }}",
    "lists added up": "{{ ([[1] * 1000] * 1000)|sum(start=[]) }}",
    "JSON": often("{{ ([1] * 1000000)|tojson|length }}"),
    "JSON with indent": often("{{ ([1] * 900000)|tojson(indent=1)|length }}"),
    "arguments": "{% macro f() %}{{ varargs|length }}{% endmacro %}"
    + often("{{ f(*range(99999)) }}"),
    "cycler": "{% set c = cycler(*range(99999)) %}" + often(often("{{ c.next() }}")),
    "loop length": "{% for a in range(99999)|map('string') %}"
    + "{% for b in range(99999)|map('string') %}{{ loop.length }}{% endfor %}{% endfor %}",
    "loop changed": MILLION_ONES
    + "{% for c in range(99999) %}{{ loop.changed(a + [c]) }}{% endfor %}",
}

SOURCES = {
    "long": "a" * 10**7,
    "unclosed": "{% for a in b %}",
    "unknown filter": "{{ a|nope }}",
    "parentheses": "{{ " + "(" * 15_000 + "1" + ")" * 15_000 + " }}",
    "brackets": "{{ " + "[" * 15_000 + "]" * 15_000 + " }}",
    "sum": "{{ " + "+".join("1" * 30_000) + " }}",
    "not": "{{ " + "not " * 15_000 + "1 }}",
    "filters": "{{ 1" + "|int" * 15_000 + " }}",
    "attributes": "{{ a" + ".a" * 30_000 + " }}",
    "calls": "{{ a" + "()" * 30_000 + " }}",
    "ifs": "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "fors": "{% for a in [1] %}" * 2000 + "{% endfor %}" * 2000,
    "raw": "{% raw %}" * 7000,
    "comments": "{#" * 32_000,
    "open braces": "{{" * 32_000,
    "open blocks": "{%" * 32_000,
    "spaces": " " * 60_000 + "{{ a",
    "lines": (" " * 200 + "\n") * 300 + "{%- if a %}",
    "quotes": "{{ '" + "\\\\" * 30_000,
    "digits": "{{ " + "1_" * 30_000 + " }}",
}

# What only makes the compiler work: slow to read, harmless once it is read.
DENSE = {
    "outputs": "{{a}}" * 13_000,
    "conditions": "{%if a%}b{%endif%}" * 3600,
    "macros": "{%macro a()%}{%endmacro%}" * 2600,
    "assignments": "{%set a=1%}" * 5900,
    "loops": "{%for a in b%}{%endfor%}" * 2700,
    "items": "{{[" + "1," * 32_000 + "]}}",
    "joined": "{{ " + "~".join("1" * 32_000) + " }}",
    "elifs": "{% if 0 %}" + "{%elif 0%}" * 6500 + "{% endif %}",
}
