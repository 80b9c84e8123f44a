"""Files of conversations: what is read, and what is named and left out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assistant.transcripts import (
    MOST_CHARACTERS,
    BadFile,
    BadTranscript,
    Transcript,
    Turn,
    count_conversations,
    of_conversation,
    read_transcripts,
)


def written(folder: Path, name: str, text: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def whole(file: Path) -> list[Transcript]:
    read = [*read_transcripts(file)]
    assert all(isinstance(each, Transcript) for each in read), read
    return [each for each in read if isinstance(each, Transcript)]


def problems(read: Transcript | BadTranscript) -> list[tuple[int, str]]:
    return [(problem.line, problem.code) for problem in read.problems]


def test_rows_of_a_conversation_may_stand_apart(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "a.csv",
        "会话编号,时间,角色,坐席,内容\n"
        "1,2026-11-20 10:00,客服,li,您好\n"
        '2,2026-11-20 10:01,客户,,"多少钱,\n一个月?"\n'
        "1,2026-11-20 10:02,客户,,提前还款收费吗\n",
    )
    two, one = whole(file)
    assert (two.id, one.id) == ("2", "1")
    assert two.turns == (Turn("borrower", "多少钱,\n一个月?", datetime(2026, 11, 20, 10, 1)),)  # noqa: DTZ001
    assert [(turn.speaker, turn.by) for turn in one.turns] == [("agent", "li"), ("borrower", "")]
    assert count_conversations(file) == 2


def test_whoever_is_not_known_is_named_and_not_guessed(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "a.csv",
        "id,speaker,text\n1,agent,您好\n1,经理,插话\n1,,无人\n2,经理,只有我\n1,borrower,\n",
    )
    read = {each.id: each for each in read_transcripts(file)}
    one, two = read["1"], read["2"]
    assert isinstance(one, Transcript)
    assert isinstance(two, BadTranscript)
    assert [turn.text for turn in one.turns] == ["您好"]
    assert problems(one) == [(3, "unknown_speaker"), (4, "no_speaker"), (6, "no_text")]
    assert one.problems[0].detail == "经理"
    assert problems(two) == [(5, "unknown_speaker")]
    named = [*read_transcripts(file, {"经理": "agent"})]
    assert {each.id: len(each.turns) for each in named if isinstance(each, Transcript)} == {
        "1": 2,
        "2": 1,
    }


def test_each_line_is_read_in_its_own_encoding(tmp_path: Path) -> None:
    lines = [
        b"\xef\xbb\xbfid,speaker,text\n",
        "1,agent,您好\n".encode("gb18030"),
        "1,borrower,利率多少\n".encode(),
        b"1,agent,\xff\xff\xfe\xfe broken \xff\n",
        "1,agent,再见\n".encode(),
    ]
    (read,) = whole(written(tmp_path, "a.csv", b"".join(lines)))
    assert [turn.text for turn in read.turns] == ["您好", "利率多少", "再见"]
    assert problems(read) == [(4, "encoding")]
    (wide,) = whole(written(tmp_path, "b.csv", "id,speaker,text\n1,agent,您好\n".encode("utf-16")))
    assert wide.turns[0].text == "您好"


def test_broken_rows_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "a.csv",
        "id,speaker,text,at\n1,agent,您好,not a day\n1,agent\n,agent,谁的,\n"
        f"1,agent,{'长' * 20001},\n",
    )
    read = [*read_transcripts(file)]
    assert problems(read[0]) == [(4, "no_conversation")]
    assert isinstance(read[1], Transcript)
    assert problems(read[1]) == [(2, "bad_time"), (3, "not_csv"), (5, "too_long")]
    assert MOST_CHARACTERS == 20_000


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{", "not_json"),
        ("[" * 100_000, "not_json"),
        ("[]", "wrong_form"),
        ('{"id": "1", "turns": 3}', "wrong_form"),
        ('{"id": "1", "turns": []}', "no_turns"),
        ('{"turns": [{"speaker": "agent", "text": "x"}]}', "no_conversation"),
        ('{"id": true, "turns": []}', "no_conversation"),
        ('{"id": "1", "facts": 1, "turns": []}', "wrong_form"),
        ('{"id": "1", "turns": [3]}', "wrong_form"),
        ('{"id": "ok", "turns": [{"speaker": "agent", "text": "x"}]}', "twice"),
    ],
)
def test_a_line_that_is_no_conversation_keeps_no_other_back(
    tmp_path: Path, line: str, code: str
) -> None:
    good = {
        "id": "ok",
        "started": "2026-11-20T10:00:00+08:00",
        "facts": {"amount_due_cny": "12.00"},
        "turns": [{"role": "agent", "content": "您好", "agent": "li"}],
    }
    file = written(tmp_path, "a.jsonl", f"{json.dumps(good)}\n{line}\n\n")
    first, second = read_transcripts(file)
    assert isinstance(first, Transcript)
    assert first.turns == (Turn("agent", "您好", None, "li"),)
    assert first.facts == {"amount_due_cny": "12.00"}
    assert first.started == datetime.fromisoformat("2026-11-20T10:00:00+08:00")
    assert problems(second)[-1] == (2, code)


def test_labelled_text(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "calls.txt",
        "=== c1 started=2026-11-20 topic=collections ===\n"
        "[10:03] 客服(A12)：您好\n"
        "  网址是 https://example.com\n"
        "客户: 什么事\n"
        "路人甲：我也说一句\n"
        "===\n"
        "2026-11-21 09:00:00 agent: hello\n"
        "=== c1 ===\n"
        "客服: 又来\n",
    )
    one, two, three = read_transcripts(file)
    assert isinstance(one, Transcript)
    assert isinstance(two, Transcript)
    assert one.topic == "collections"
    assert one.turns[0].text == "您好\n网址是 https://example.com"
    assert one.turns[0].by == "A12"
    assert one.turns[0].at == datetime(2026, 11, 20, 10, 3)  # noqa: DTZ001
    assert problems(one) == [(5, "unknown_speaker")]
    assert two.id == "calls-2"
    assert problems(three) == [(0, "twice")]
    assert count_conversations(file) == 3


def test_a_conversation_of_ten_thousand_turns_is_read(tmp_path: Path) -> None:
    rows = "".join(f"1,{'agent' if i % 2 else 'borrower'},{i}\n" for i in range(10_000))
    (read,) = whole(written(tmp_path, "a.csv", f"id,speaker,text\n{rows}"))
    assert len(read.turns) == 10_000


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.xlsx", "x"), ("a.csv", ""), ("a.csv", "a,b\n1,2\n"), ("gone/a.csv", None)],
)
def test_a_file_of_nothing_is_refused_by_its_name(
    tmp_path: Path, name: str, text: str | None
) -> None:
    file = tmp_path / name
    if text is not None:
        file.write_text(text)
    with pytest.raises(BadFile, match=file.name):
        [*read_transcripts(file)]


def test_records_and_messages_of_the_desk_stand_in_the_order_of_time() -> None:
    def at(minute: int) -> datetime:
        return datetime(2026, 11, 20, 2, minute, tzinfo=UTC)

    records = [
        {"asked_at": at(1), "question": "要人工", "reply": {"answer": "好的"}},
        {"asked_at": at(0), "question": "利率多少", "reply": None},
        {"asked_at": at(5), "question": "", "reply": None},
    ]
    messages = [{"speaker": "agent", "text": "您好", "at": at(2), "by": "li"}]
    read = of_conversation("c", records, messages)
    assert [(turn.speaker, turn.text) for turn in read.turns] == [
        ("borrower", "利率多少"),
        ("borrower", "要人工"),
        ("assistant", "好的"),
        ("agent", "您好"),
    ]
    assert read.started == at(0)
