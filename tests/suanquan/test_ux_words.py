"""What the words of pages, commands and errors must not be, and that each language keeps to itself."""

import ast
import html
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from suanquan import portal
from tests.suanquan.site import VISITS
from tests.suanquan.test_portal import CJK, words

ROOT = Path(portal.__file__).parents[2]
PACKAGES = ("ledger", "metering", "subsidy", "suanquan", "voucher")
NEVER = re.compile(
    "驳回|无效|非法|系统提示|温馨提示|系统错误|系统异常|未知错误|操作失败|出错了|是否确认|确定要|暂无|消费|充值"
    "|用户|稍后再试|黑名单|审批通过率|抱歉|哦|！|取消|(?<!读取)失败$|失败[。！]"
    "|(?i:something went wrong|oops|unknown error|system error|operation failed|illegal|black ?list|try again later|sorry)"
)
"""Words that can be misread, or that tell neither what happened nor what to do."""
BALANCE = re.compile("余额(?!度)")
"""A voucher is not money: what it has left is said as 可用 or 剩余额度; accounts of the ledger have balances."""
ROUGH = re.compile(f"{NEVER.pattern}|失败|余额")
QUOTED = ("用户自付凭证",)
"""Names of documents as the published rules have them."""
BOOKS = ("ledger/", "suanquan/use_cases/verify_", "suanquan/cli/books.py", "suanquan/portal/office_text.py")


def catalogues():
    """Every text of the pages by module and key, in both languages."""
    found = {}
    for module in pkgutil.iter_modules(portal.__path__):
        if module.name.endswith("text"):
            loaded = importlib.import_module(f"suanquan.portal.{module.name}")
            if hasattr(loaded, "TEXTS"):
                found[module.name] = loaded.TEXTS
    return found


def said_by(path, *, is_command):
    """Texts in a source file that people read: all strings with Chinese; what documents code is read only of commands."""
    source = path.read_text("utf-8")
    if not ROUGH.search(source):
        return
    tree = ast.parse(source)
    documented = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and (is_command or id(node) not in documented)
        ):
            yield node.lineno, node.value


def test_the_words_that_are_looked_for_are_found():
    """The search sees what it is for, and lets pass what only looks like it."""
    for wrong in (
        "已驳回",
        "签名无效",
        "操作失败",
        "提交失败。",
        "请稍后再试",
        "暂无数据",
        "Something went wrong",
        "取消",
        "请重试！",
    ):
        assert NEVER.search(wrong), wrong
    for right in ("不予通过", "签名不符", "数据读取失败", "可用 3.20 万元"):
        assert not NEVER.search(right), right


def test_no_text_of_pages_commands_or_errors_is_vague():
    """Catalogues, the error tree and the help of commands, in both languages, hold none of the words."""
    wrong = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            for line, text in said_by(path, is_command="/cli/" in name):
                plain = text
                for quoted in QUOTED:
                    plain = plain.replace(quoted, "")
                found = NEVER.findall(plain)
                if not name.startswith(BOOKS) and not re.search("预算|账户|投影|缓存", plain):
                    found += BALANCE.findall(plain)
                wrong += [f"{name}:{line}: {word}: {text[:60]}" for word in found]
    assert not wrong, "\n".join(wrong)
    for path in (ROOT / "suanquan/portal").rglob("*.html"):
        assert not NEVER.search(words(path.read_text("utf-8"))), path.name


def test_both_languages_have_the_same_keys():
    """No key of any catalogue lacks a language or a text, and no English text holds Chinese."""
    assert len(catalogues()) > 8
    for name, texts in catalogues().items():
        assert texts["zh"].keys() == texts["en"].keys(), name
        for key, chinese in texts["zh"].items():
            english = texts["en"][key]
            assert chinese.strip(), (name, key)
            assert english.strip(), (name, key)
            assert not CJK.search(english), (name, key)
            assert sorted(re.findall(r"{\w*}", chinese)) == sorted(re.findall(r"{\w*}", english)), (name, key)


@pytest.fixture(scope="module")
def pages(untouched, look):
    """Every page, in each language."""
    where = untouched._asdict()
    found = {}
    for name, (who, path) in VISITS.items():
        if name == "docs":  # the interface's own document, in both languages side by side
            continue
        address = path.format(**where)
        for language in ("zh", "en"):
            found[name, language] = look(who, f"{address}{'&' if '?' in address else '?'}lang={language}")
    return found


NAMES = (
    "专家组",
    *(
        "松江智算中心",
        "松江某某科技有限公司",
        "第二个项目",
        "行业模型训练",
        "那一天没有用过",
        "用电.csv",
        "百万",
        "试办",
        "虚构",
    ),
    *("2026 年算力券第一轮", "松发改字〔2024〕323号", "沪松数〔2025〕16号", "中文"),
)
"""What people wrote, and numbers of documents and of their clauses, which are names in any language."""


def read(page):
    """What a reader of one language sees: without what is marked as in the other, and without what is typed or quoted."""
    marked = re.compile(r'<(\w+)(?=[^>]* lang=")[^>]*>(?:(?!<\1\b).)*?</\1>', re.DOTALL)
    body = re.sub(r"<(textarea|pre|option|svg)\b.*?</\1>", " ", page.text.partition("<body")[2], flags=re.DOTALL)
    told = html.unescape(words(marked.sub(" ", "<body" + body)))
    for name in NAMES:
        told = told.replace(name, " ")
    return re.sub(r"\d+:[一二三四五六七八九十]+(?:\([一二三四五六七八九十]+\))?|\b[方林何许]\b", " ", told)


def test_no_page_is_vague(pages):
    """As shown, whatever their texts are made of."""
    for place, page in pages.items():
        assert page.status_code == 200, place
        told = words(page.text)
        for quoted in QUOTED:
            told = told.replace(quoted, "")
        assert not NEVER.findall(told), (place, NEVER.findall(told))


def test_english_pages_have_no_chinese(pages):
    """Names, titles and what people wrote stand in an element that says its language."""
    wrong = {
        name: sorted(set(re.findall(r"\S*[\u3000-\u9fff\uff00-\uffef]\S*", read(page))))[:6]
        for (name, language), page in pages.items()
        if language == "en" and CJK.search(read(page))
    }
    assert not wrong, "\n".join(f"{name}: {left}" for name, left in wrong.items())


SENTENCE = re.compile(r"(?:[A-Za-z][a-z']+[,;]? ){3,}[A-Za-z][a-z']+")


def test_chinese_pages_have_no_english_sentence(pages):
    """Four English words in a row are a sentence; what must stand in English says its language."""
    wrong = {
        name: SENTENCE.findall(read(page))[:4]
        for (name, language), page in pages.items()
        if language == "zh" and SENTENCE.search(read(page))
    }
    assert not wrong, "\n".join(f"{name}: {left}" for name, left in wrong.items())
