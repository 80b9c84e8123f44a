"""Word documents in, blocks or a reason out."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from knowledge.chunk import chunk
from knowledge.parsed import MAX_MARKS

from .files import load, refuse, tables, texts, word


def test_docx_headings_paragraphs_and_merged_tables_are_kept(tmp_path: Path) -> None:
    def build(document: docx.document.Document) -> None:
        document.add_heading("贷款规则", 0)
        document.add_heading("第一条 利率", 2)
        paragraph = document.add_paragraph("年利率为 ")
        paragraph.add_run("7.2%").bold = True
        paragraph.add_run("。")
        paragraph.add_run("隐藏的话").font.hidden = True
        table = document.add_table(rows=3, cols=3)
        for row, words in zip(table.rows, ("甲 乙 丙", "一 二 三", "四 五 六"), strict=True):
            for cell, text in zip(row.cells, words.split(), strict=True):
                cell.text = text
        table.cell(1, 0).merge(table.cell(2, 0)).text = "合"
        table.cell(1, 1).merge(table.cell(1, 2)).text = "并"

    document = load(tmp_path, "a.docx", word(build))
    assert document.head.title == "贷款规则"
    assert texts(document) == ["贷款规则", "第一条 利率", "年利率为 7.2%。"]
    assert tables(document) == [(("甲", "乙", "丙"), ("合", "并", "并"), ("合", "五", "六"))]


NUMBERING = f"""<w:abstractNum {nsdecls("w")} w:abstractNumId="90">
<w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="chineseCountingThousand"/>
<w:lvlText w:val="第%1条"/></w:lvl>
<w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="（%2）"/></w:lvl>
</w:abstractNum>"""


def test_numbers_that_word_generates_are_part_of_the_text(tmp_path: Path) -> None:
    def build(document: docx.document.Document) -> None:
        numbering = document.part.numbering_part.element
        numbering.insert(0, parse_xml(NUMBERING))
        numbering.append(
            parse_xml(f'<w:num {nsdecls("w")} w:numId="90"><w:abstractNumId w:val="90"/></w:num>')
        )
        for depth, text in [(0, "按期还款："), (1, "足额；"), (1, "准时。"), (0, "不收费。")]:
            properties = document.add_paragraph(text)._p.get_or_add_pPr()
            properties.get_or_add_numPr().get_or_add_ilvl().val = depth
            properties.numPr.get_or_add_numId().val = 90

    document = load(tmp_path, "a.docx", word(build))
    assert texts(document) == ["第一条 按期还款：", "（1）足额；", "（2）准时。", "第二条 不收费。"]
    assert [c.locator for c in chunk(document)] == ["第一条", "第二条"]


def test_insertions_and_controls_are_read_and_deletions_are_not(tmp_path: Path) -> None:
    def build(document: docx.document.Document) -> None:
        body = document.element.body
        run = "<w:r><w:t>{}</w:t></w:r>"
        tracked = (
            f"<w:p {nsdecls('w')}>{run.format('利率')}<w:ins>{run.format('为七')}</w:ins>"
            "<w:del><w:r><w:delText>为八</w:delText></w:r></w:del></w:p>"
        )
        control = (
            f"<w:sdt {nsdecls('w')}><w:sdtContent><w:p>{run.format('控件里的话')}</w:p>"
            "</w:sdtContent></w:sdt>"
        )
        body.insert(0, parse_xml(control))
        body.insert(0, parse_xml(tracked))

    assert texts(load(tmp_path, "a.docx", word(build))) == ["利率为七", "控件里的话"]


def bomb() -> bytes:
    buffer = BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package,
        package.open("word/document.xml", "w", force_zip64=True) as part,
    ):
        for _ in range(220):
            part.write(b" " * 2**20)
    return buffer.getvalue()


def test_a_docx_that_unpacks_to_hundreds_of_megabytes_is_refused(tmp_path: Path) -> None:
    packed = bomb()
    assert len(packed) < 2**20
    assert "unpacks to more than 200 MB" in refuse(tmp_path, "a.docx", packed)


def test_an_encrypted_or_old_word_file_is_refused(tmp_path: Path) -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512)
    encrypted = ole + "EncryptedPackage".encode("utf-16-le")
    assert "password" in refuse(tmp_path, "a.docx", encrypted)
    assert "Word 97-2003" in refuse(tmp_path, "b.docx", ole)


def packed(xml: str, **others: str) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr("word/document.xml", xml)
        for name, content in others.items():
            package.writestr(f"word/{name}.xml", content)
    return buffer.getvalue()


def body(xml: str, **others: str) -> bytes:
    return packed(f"<w:document {nsdecls('w')}><w:body>{xml}</w:body></w:document>", **others)


def para(text: str, properties: str = "", run: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:rPr>{run}</w:rPr><w:t>{text}</w:t></w:r></w:p>"


def cell(inner: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{inner}</w:tc>"


@pytest.mark.parametrize("part", ["document", "styles", "numbering", "footnotes"])
@pytest.mark.parametrize(
    "entities",
    [
        '<!ENTITY x SYSTEM "file:///etc/hostname">',
        '<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY x "&b;&b;&b;&b;">',
    ],
)
def test_a_docx_with_entities_of_its_own_is_refused(
    tmp_path: Path, part: str, entities: str
) -> None:
    parts = {"document": f"<w:document {nsdecls('w')}/>", part: f"<w:{part} {nsdecls('w')}/>"}
    parts[part] = f"<!-- {'x' * 9000} --><!DOCTYPE d [{entities}]>{parts[part]}"
    content = packed(parts.pop("document"), **parts)
    assert "entities" in refuse(tmp_path, "a.docx", content)


@pytest.mark.parametrize("name", ["../evil.xml", "/evil.xml", "word\\..\\..\\evil.xml"])
def test_a_docx_with_a_part_outside_itself_is_refused(tmp_path: Path, name: str) -> None:
    buffer = BytesIO(body(para("甲")))
    with zipfile.ZipFile(buffer, "a") as package:
        package.writestr(name, "x")
    assert "lies outside it" in refuse(tmp_path, "a.docx", buffer.getvalue())


def test_a_docx_whose_text_alone_is_huge_is_refused(tmp_path: Path) -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("word/document.xml", b" " * (60 * 2**20))
    assert "one part of the file unpacks to 60 MB" in refuse(tmp_path, "a.docx", buffer.getvalue())


@pytest.mark.parametrize(
    "xml",
    [
        '<w:tbl><w:tr><w:trPr><w:gridBefore w:val="2000000000"/></w:trPr>'
        + cell(para("甲"), '<w:gridSpan w:val="999999999"/>')
        + cell(para("乙"), '<w:gridSpan w:val="-5"/>')
        + "</w:tr></w:tbl>",
        para("甲", '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>'),
        "<w:sdt><w:sdtContent>" * 90 + para("甲") + "</w:sdtContent></w:sdt>" * 90,
    ],
)
@pytest.mark.parametrize("form", ["lowerRoman", "upperLetter", "chineseCounting", "decimal"])
def test_absurd_numbers_in_a_docx_take_no_memory(tmp_path: Path, xml: str, form: str) -> None:
    numbering = (
        f'<w:numbering {nsdecls("w")}><w:abstractNum w:abstractNumId="1"><w:lvl w:ilvl="0">'
        f'<w:start w:val="999999"/><w:numFmt w:val="{form}"/><w:lvlText w:val="%1."/></w:lvl>'
        '</w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="1"/></w:num></w:numbering>'
    )
    document = load(tmp_path, "a.docx", body(xml, numbering=numbering))
    assert sum(len(block.text) for block in document.blocks) < 100
    assert all(len(row) <= 300 for rows in tables(document) for row in rows)


def test_a_nested_table_keeps_its_rows_within_its_cell(tmp_path: Path) -> None:
    inner = (
        "<w:tbl><w:tr>" + cell(para("期数")) + cell(para("费率")) + "</w:tr>"
        "<w:tr>" + cell(para("3 期")) + cell(para("1.2%")) + "</w:tr></w:tbl>"
    )
    fees = cell(para("按期收取") + inner + para("另计"))
    outer = (
        "<w:tbl><w:tr>" + cell(para("产品")) + cell(para("费用")) + "</w:tr>"
        "<w:tr>" + cell(para("安心贷")) + fees + "</w:tr></w:tbl>"
    )
    document = load(tmp_path, "a.docx", body(outer))
    assert tables(document) == [
        (("产品", "费用"), ("安心贷", "按期收取\n期数：3 期；费率：1.2%\n另计"))
    ]


def test_a_box_around_text_is_no_table(tmp_path: Path) -> None:
    box = "<w:tbl><w:tr>" + cell(para("第一条 甲。") + para("第二条 乙。")) + "</w:tr></w:tbl>"
    found = chunk(load(tmp_path, "a.docx", body(box)))
    assert [(c.locator, c.text) for c in found] == [("第一条", "甲。"), ("第二条", "乙。")]


def test_a_row_that_was_deleted_is_not_read(tmp_path: Path) -> None:
    def row(mark: str, rate: str) -> str:
        return f"<w:tr>{mark}{cell(para('罚息'))}{cell(para(rate))}</w:tr>"

    deleted = row("<w:trPr><w:del w:id='1'/></w:trPr>", "9%")
    head = f"<w:tr>{cell(para('项目'))}{cell(para('标准'))}</w:tr>"
    table = f"<w:tbl>{head}{deleted}{row('', '8%')}</w:tbl>"
    assert tables(load(tmp_path, "a.docx", body(table))) == [(("项目", "标准"), ("罚息", "8%"))]


def test_notes_and_text_boxes_are_read_and_comments_and_headers_are_not(tmp_path: Path) -> None:
    box = (
        '<w:p><w:r><w:t>正文</w:t><w:footnoteReference w:id="2"/><w:endnoteReference w:id="2"/>'
        '<w:commentReference w:id="0"/></w:r><w:r><w:pict><w:txbxContent>'
        + para("框里的话")
        + "</w:txbxContent></w:pict></w:r></w:p>"
    )
    notes = "<w:{0}s {1}><w:{0} w:id='2'>{2}</w:{0}></w:{0}s>"
    others = {
        "footnotes": notes.format("footnote", nsdecls("w"), para("脚注")),
        "endnotes": notes.format("endnote", nsdecls("w"), para("尾注")),
        "comments": notes.format("comment", nsdecls("w"), para("批注")),
        "header1": f"<w:hdr {nsdecls('w')}>{para('页眉')}</w:hdr>",
    }
    found = texts(load(tmp_path, "a.docx", body(box, **others)))
    assert found == ["正文", "框里的话", "脚注", "尾注"]


def test_a_list_begins_anew_where_word_says_so(tmp_path: Path) -> None:
    numbering = (
        f'<w:numbering {nsdecls("w")}><w:abstractNum w:abstractNumId="1"><w:lvl w:ilvl="0">'
        '<w:start w:val="1"/><w:numFmt w:val="upperRoman"/><w:lvlText w:val="%1、"/></w:lvl>'
        '</w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="1"/></w:num>'
        '<w:num w:numId="2"><w:abstractNumId w:val="1"/><w:lvlOverride w:ilvl="0">'
        '<w:startOverride w:val="1"/></w:lvlOverride></w:num></w:numbering>'
    )
    listed = '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="{}"/></w:numPr>'
    xml = "".join(para(f"{n}", listed.format(n)) for n in (1, 1, 2, 2))
    found = texts(load(tmp_path, "a.docx", body(xml, numbering=numbering)))
    assert found == ["I、1", "II、1", "I、2", "II、2"]


def test_a_table_of_contents_is_no_text(tmp_path: Path) -> None:
    styles = (
        f'<w:styles {nsdecls("w")}><w:style w:styleId="a1"><w:name w:val="toc 1"/></w:style>'
        "</w:styles>"
    )
    entry = para("第一条 总则\t1", '<w:pStyle w:val="a1"/>')
    found = chunk(load(tmp_path, "a.docx", body(entry + para("第一条 总则。"), styles=styles)))
    assert [(c.locator, c.text) for c in found] == [("第一条", "总则。")]


def test_bold_lines_are_headings_where_no_style_says_so(tmp_path: Path) -> None:
    xml = (
        para("安心贷借款合同", '<w:jc w:val="center"/>', "<w:b/>")
        + para("第一章 总则", "", "<w:b/>")
        + para("第一条 借款人应当还款。", "", "<w:b/>")
        + para("特别提示", "", "<w:b/>")
        + para("请阅读。", "", "<w:b/>")
        + para("普通", "", '<w:b w:val="0"/>')
    )
    document = load(tmp_path, "a.docx", body(xml))
    assert document.head.title == "安心贷借款合同"
    assert [(c.locator, c.text) for c in chunk(document)] == [
        ("第一章 总则 > 第一条", "借款人应当还款。"),
        ("特别提示", "请阅读。\n普通"),
    ]


def test_ticked_boxes_are_told_from_empty_ones(tmp_path: Path) -> None:
    xml = (
        '<w:p><w:r><w:sym w:font="Wingdings 2" w:char="F052"/><w:t>等额本息</w:t>'
        '<w:sym w:font="Wingdings 2" w:char="F0A3"/><w:t>等额本金</w:t></w:r></w:p>'
    )
    assert texts(load(tmp_path, "a.docx", body(xml))) == ["☑等额本息☐等额本金"]


def test_a_document_part_under_another_name_is_found(tmp_path: Path) -> None:
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    relations = "http://schemas.openxmlformats.org/package/2006/relationships"
    renamed = body(para("甲")).replace(b"word/document.xml", b"word/document2.xm")
    buffer = BytesIO(renamed)
    with zipfile.ZipFile(buffer, "a") as package:
        package.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{relations}"><Relationship Id="r" Type="{kind}" '
            'Target="word/document2.xm"/></Relationships>',
        )
    assert texts(load(tmp_path, "a.docx", buffer.getvalue())) == ["甲"]


def test_a_document_of_too_many_parts_is_refused(tmp_path: Path) -> None:
    assert "4,000,000 tags" in refuse(tmp_path, "a.docx", body("<w:p/>" * (MAX_MARKS + 1)))
