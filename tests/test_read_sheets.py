"""Workbooks and delimited text in, tables as a person sees them or a reason out."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from knowledge.cell_format import BUILT_IN, GENERAL, shown, shown_text
from knowledge.chunk import chunk
from knowledge.parsed import MAX_CELLS, MAX_MARKS
from knowledge.readers import Unreadable

from .files import load, refuse, tables, texts


def workbook(*builds: Callable[[Any], object], **names: str) -> bytes:
    """A workbook with one sheet for each function, which fills it."""
    book = Workbook()
    book.remove(book.active)
    for number, build in enumerate(builds, 1):
        build(book.create_sheet(names.get(f"s{number}", f"表{number}")))
    buffer = BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def filled(*rows: tuple[object, ...]) -> Callable[[Worksheet], None]:
    def build(sheet: Worksheet) -> None:
        for row in rows:
            sheet.append(row)

    return build


def edited(data: bytes, part: str, change: Callable[[str], str]) -> bytes:
    """The workbook with one of its parts changed."""
    buffer = BytesIO()
    with zipfile.ZipFile(BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for entry in old.infolist():
            content = old.read(entry).decode()
            new.writestr(entry.filename, change(content) if entry.filename == part else content)
    return buffer.getvalue()


SHEET, STRINGS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def bare() -> bytes:
    """A workbook as small programs write it: shared strings, no styles, cells without places."""
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    relations = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    )
    relation = f'<Relationship Id="r{{}}" Type="{kind}/{{}}" Target="{{}}"/>'
    strings = (
        "<si><t>项目</t></si><si><r><t>标</t></r><r><t>准</t></r><rPh><t>biao</t></rPh></si>"
        "<si><t> 罚息 </t></si>"
    )
    parts = {
        "_rels/.rels": relations
        + relation.format(1, "officeDocument", "/xl/workbook.xml")
        + "</Relationships>",
        "xl/_rels/workbook.xml.rels": relations
        + relation.format(1, "worksheet", "worksheets/sheet1.xml")
        + relation.format(2, "sharedStrings", "sharedStrings.xml")
        + "</Relationships>",
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{kind}">'
        '<sheets><sheet name="费率" r:id="r1"/></sheets></workbook>',
        STRINGS: f'<sst xmlns="{MAIN}">{strings}</sst>',
        SHEET: f'<worksheet xmlns="{MAIN}"><sheetData>'
        '<row><c t="s"><v>0</v></c><c t="s"><v>1</v></c></row>'
        '<row><c t="s"><v>2</v></c><c><v>0.09</v></c></row></sheetData></worksheet>',
    }
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        for name, content in parts.items():
            package.writestr(name, content)
    return buffer.getvalue()


FEES = (("项目", "标准"), ("逾期罚息", "9%"), ("提前结清手续费", "免收"))


# Values


@pytest.mark.parametrize(
    ("number", "code", "seen"),
    [
        ("0.24000000000000002", "0%", "24%"),
        ("0.24000000000000002", GENERAL, "0.24"),
        ("0.30000000000000004", GENERAL, "0.3"),
        ("0.0725", "0.00%", "7.25%"),
        ("0.126", "0.#%", "12.6%"),
        ("1234567.891", "#,##0.00", "1,234,567.89"),
        ("-1234.5", "#,##0.00", "-1,234.50"),
        ("1.005", "0.00", "1.01"),
        ("999.999", "#,##0.00", "1,000.00"),
        ("-0.4", "0", "0"),
        ("-81", "#,##0\\ ;\\(#,##0\\)", "(81)"),
        ("0", '_(* #,##0_);_(* \\(#,##0\\);_(* "—"_);_(@_)', "—"),
        ("1234.5", "[$¥-804]#,##0.00", "¥1,234.50"),
        ("1234.5", BUILT_IN[44], "¥ 1,234.50"),
        ("-3", "¥#,##0.00;[Red]¥-#,##0.00", "¥-3.00"),
        ("100", 'G/通用格式"元"', "100元"),
        ("3", '0"个月"', "3个月"),
        ("0", '0.00;-0.00;"免"', "免"),
        ("5", ";;;", ""),
        ("12345", '0!.0,"万"', "1.2万"),
        ("12345678", "0.00,,", "12.35"),
        ("13800138000", "000-0000-0000", "138-0013-8000"),
        ("15000", '[>=10000]0.0,"千";0', "15.0千"),
        ("900", '[>=10000]0.0,"千";0', "900"),
        ("2.75", "# ?/?", "2 3/4"),
        ("0.00001234", "0.00E+00", "1.23E-05"),
        ("123456789012345", GENERAL, "123456789012345"),
        ("1e20", GENERAL, "1E+20"),
        ("45292", BUILT_IN[14], "2024/1/1"),
        ("45292", BUILT_IN[31], "2024年1月1日"),
        ("45292.354166666664", "yyyy-mm-dd hh:mm:ss", "2024-01-01 08:30:00"),
        ("45292", "[$-F800]dddd, mmmm dd, yyyy", "2024年1月1日"),
        ("45292", "aaaa", "星期一"),
        ("0.854166666666667", "h:mm AM/PM", "8:30 PM"),
        ("1.5", "[h]:mm", "36:00"),
        ("59", "yyyy/m/d", "1900/2/28"),
        ("61", "yyyy/m/d", "1900/3/1"),
        ("-1", "yyyy/m/d", "-1"),
        ("1e999", "0.00", "1e999"),
        ("7", "0" * 4000, "7"),
    ],
)
def test_a_number_is_shown_as_its_format_shows_it(number: str, code: str, seen: str) -> None:
    assert shown(number, code) == seen


def test_days_are_counted_from_1904_where_the_workbook_says_so() -> None:
    assert shown("43830", "yyyy/m/d", from_1904=True) == "2024/1/1"


def test_words_take_the_unit_their_format_adds() -> None:
    assert shown_text("免收", '0;0;0;@"（限时）"') == "免收（限时）"
    assert shown_text("免收", "0.00%") == "免收"


@settings(deadline=None, max_examples=200)
@given(
    st.text(st.sampled_from('0#?.,%;@"\\!_*[]yмmdhsE+-/年月日GgeneralAP ¥>=<1$'), max_size=20),
    st.floats(),
)
def test_any_format_shows_any_number(code: str, number: float) -> None:
    seen = shown(repr(number), code)
    assert seen == seen.strip()


@given(st.decimals(-(10**9), 10**9, places=2))
def test_two_decimals_are_kept_to_the_cent(amount: Any) -> None:
    assert shown(repr(float(amount)), "#,##0.00") == f"{amount:,.2f}".replace("-0.00", "0.00")


def test_cells_hold_what_a_person_sees(tmp_path: Path) -> None:
    def build(sheet: Worksheet) -> None:
        sheet.append(["项目", "年利率", "上限", "自", "时", "有效"])
        sheet.append([" 安心贷 ", 0.24000000000000002, 200000, date(2025, 1, 1), time(9, 30), True])
        for column, code in (("B", "0.00%"), ("C", "#,##0"), ("D", "yyyy/m/d"), ("E", "h:mm")):
            sheet[f"{column}2"].number_format = code

    document = load(tmp_path, "a.xlsx", workbook(build))
    assert tables(document) == [
        (
            ("项目", "年利率", "上限", "自", "时", "有效"),
            ("安心贷", "24.00%", "200,000", "2025/1/1", "9:30", "TRUE"),
        )
    ]
    (clause,) = chunk(document)
    assert clause.text == (
        "项目：安心贷；年利率：24.00%；上限：200,000；自：2025/1/1；时：9:30；有效：TRUE"
    )
    assert clause.locator == "表1 > 第2行"


def test_shared_strings_are_read_without_their_readings(tmp_path: Path) -> None:
    document = load(tmp_path, "a.xlsx", bare())
    assert tables(document) == [(("项目", "标准"), ("罚息", "0.09"))]
    assert document.blocks[-1].row_numbers == (1, 2)
    strict = MAIN.replace("schemas.openxmlformats.org", "purl.oclc.org/ooxml").replace("/2006", "")
    for part in (SHEET, STRINGS, "xl/workbook.xml"):
        assert edited(bare(), part, lambda xml: xml.replace(MAIN, strict)) != bare()
        document = load(
            tmp_path, "b.xlsx", edited(bare(), part, lambda xml: xml.replace(MAIN, strict))
        )
        assert tables(document)[0][1] == ("罚息", "0.09")


def test_a_formula_gives_its_stored_result_and_a_missing_one_is_said(tmp_path: Path) -> None:
    data = workbook(
        filled(("项目", "金额"), ("本金", 100), ("利息", "=B2*0.1"), ("合计", "=B2+B3"))
    )
    stored = edited(
        data,
        "xl/worksheets/sheet1.xml",
        lambda xml: re.sub(r"(B2\*0\.1</f>)<v ?/?>(</v>)?", r"\1<v>10</v>", xml),
    )
    document = load(tmp_path, "a.xlsx", stored)
    assert tables(document)[0][1:] == (("本金", "100"), ("利息", "10"), ("合计", ""))
    assert len(document.warnings) == 1
    assert "without a stored result" in document.warnings[0]
    assert "(B4)" in document.warnings[0]


def test_a_cell_that_shows_an_error_is_empty_and_named(tmp_path: Path) -> None:
    def build(sheet: Worksheet) -> None:
        filled(*FEES)(sheet)
        sheet["B2"] = "#REF!"
        sheet["B2"].data_type = "e"

    document = load(tmp_path, "a.xlsx", workbook(build))
    assert tables(document)[0][1] == ("逾期罚息", "")
    assert "B2" in document.warnings[0]


# What is left out


def test_hidden_rows_columns_and_sheets_are_left_out_and_named(tmp_path: Path) -> None:
    def build(sheet: Worksheet) -> None:
        filled(("项目", "内部价", "标准"), ("甲", 1, "9%"), ("乙", 2, "8%"), ("丙", 3, "7%"))(sheet)
        sheet.row_dimensions[3].hidden = True
        sheet.column_dimensions["B"].hidden = True

    def conceal(sheet: Worksheet) -> None:
        sheet.append(["草稿"])
        sheet.sheet_state = "veryHidden"

    document = load(tmp_path, "a.xlsx", workbook(build, conceal, s2="底稿"))
    assert tables(document) == [(("项目", "标准"), ("甲", "9%"), ("丙", "7%"))]
    assert document.warnings == (
        "hidden sheets are left out: 底稿",
        "sheet '表1': hidden rows are left out: 3",
        "sheet '表1': hidden columns are left out: B",
    )
    assert [c.locator for c in chunk(document)] == ["表1 > 第2-4行"]


def test_a_merged_cell_is_seen_though_its_first_row_is_hidden(tmp_path: Path) -> None:
    def build(sheet: Worksheet) -> None:
        filled(("产品", "期数"), ("安心贷", "3"), (None, "6"), (None, "12"))(sheet)
        sheet.merge_cells("A2:A4")
        sheet.row_dimensions[2].hidden = True

    document = load(tmp_path, "a.xlsx", workbook(build))
    assert tables(document) == [(("产品", "期数"), ("安心贷", "6"), ("安心贷", "12"))]


# Where tables lie


def test_each_sheet_stands_under_its_name(tmp_path: Path) -> None:
    data = workbook(filled(*FEES), filled(*FEES), s1="费率", s2="旧费率")
    found = chunk(load(tmp_path, "收费.xlsx", data))
    assert [(c.locator, c.head.title) for c in found] == [
        ("费率 > 第2-3行", "收费"),
        ("旧费率 > 第2-3行", "收费"),
    ]


def test_titles_and_notes_around_a_table_are_not_its_rows(tmp_path: Path) -> None:
    def build(sheet: Worksheet) -> None:
        sheet["A1"] = "青穗安心贷收费标准"
        sheet.merge_cells("A1:C1")
        sheet["A2"] = "单位：元"
        filled(("项目", "标准", "说明"), ("短信费", 0, "不收"), ("公证费", 200, "按次"))(sheet)
        sheet["A6"] = "注：以合同约定为准。"
        sheet.merge_cells("A6:C6")

    document = load(tmp_path, "a.xlsx", workbook(build))
    assert document.head.title == "青穗安心贷收费标准"
    assert texts(document) == ["青穗安心贷收费标准", "表1", "单位：元", "注：以合同约定为准。"]
    assert tables(document) == [
        (("项目", "标准", "说明"), ("短信费", "0", "不收"), ("公证费", "200", "按次"))
    ]
    table = next(block for block in document.blocks if block.kind == "table")
    assert table.row_numbers == (3, 4, 5)


def test_tables_between_blank_rows_and_side_by_side_are_separate(tmp_path: Path) -> None:
    def build(sheet: Worksheet) -> None:
        for place, value in {
            "A1": "期数", "B1": "费率", "A2": 3, "B2": 0.01, "A3": 6, "B3": 0.02,
            "E2": "渠道", "F2": "电话", "E3": "客服", "F3": "95000",
            "A6": "产品", "B6": "上限", "A7": "安心贷", "B7": 200000,
        }.items():  # fmt: skip
            sheet[place] = value

    document = load(tmp_path, "a.xlsx", workbook(build))
    assert tables(document) == [
        (("期数", "费率"), ("3", "0.01"), ("6", "0.02")),
        (("渠道", "电话"), ("客服", "95000")),
        (("产品", "上限"), ("安心贷", "200000")),
    ]
    assert [c.locator for c in chunk(document)] == [
        "表1 > 表1 > 第2-3行",
        "表1 > 表2 > 第3行",
        "表1 > 表3 > 第7行",
    ]


def test_titled_tables_of_one_sheet_stand_under_their_titles(tmp_path: Path) -> None:
    rows = [("甲类费用",), *FEES, (), ("乙类费用",), *FEES, (), *FEES]
    found = chunk(load(tmp_path, "a.xlsx", workbook(filled(*rows), filled(*FEES))))
    assert [c.locator for c in found][:3] == [
        "表1 > 甲类费用 > 第3-4行",
        "表1 > 乙类费用 > 第8-9行",
        "表1 > 第12-13行",
    ]


def test_two_header_rows_are_joined_by_column(tmp_path: Path) -> None:
    def build(sheet: Worksheet) -> None:
        filled(("产品", "年利率", None, "上限"), (None, "新客", "老客", None))(sheet)
        filled(("安心贷", "7.2%", "6.8%", 200000))(sheet)
        for span in ("A1:A2", "B1:C1", "D1:D2"):
            sheet.merge_cells(span)

    document = load(tmp_path, "a.xlsx", workbook(build))
    assert tables(document) == [
        (("产品", "年利率 新客", "年利率 老客", "上限"), ("安心贷", "7.2%", "6.8%", "200000"))
    ]


def test_a_merged_header_over_rows_of_words_is_one_header_row(tmp_path: Path) -> None:
    def build(sheet: Worksheet) -> None:
        filled(("项目", "收费标准", None), ("提前结清", "免收", "不论期数"))(sheet)
        filled(("逾期", "按日", "计收罚息"))(sheet)
        sheet.merge_cells("B1:C1")

    document = load(tmp_path, "a.xlsx", workbook(build))
    assert tables(document)[0][0] == ("项目", "收费标准", "收费标准")
    assert len(tables(document)[0]) == 3


def test_groups_over_columns_without_merging_and_a_blank_row_below_are_read(
    tmp_path: Path,
) -> None:
    rows = (
        ("百万元", None, "上半年", None, None, "下半年"),
        (None, "收入", "利润", None, "收入", "利润"),
        (),
        ("华东", 10, 1, None, 20, 2),
        ("华南", 30, 3, None, 40, 4),
    )
    document = load(tmp_path, "a.xlsx", workbook(filled(*rows)))
    assert tables(document) == [
        (
            ("百万元", "上半年 收入", "上半年 利润", "下半年 收入", "下半年 利润"),
            ("华东", "10", "1", "20", "2"),
            ("华南", "30", "3", "40", "4"),
        )
    ]


@pytest.mark.parametrize(
    ("rows", "header"),
    [
        ((("期数", 3, 6, 12), ("费率", "1%", "2%", "3%")), ("期数", "3", "6", "12")),
        ((("地区", 2023, 2024), ("华东", 10, 20)), ("地区", "2023", "2024")),
        ((("甲", 12.5, 9.1), ("乙", 13.5, 8.2)), ("", "", "")),
        ((("产品名称", "安心贷"), ("年利率", "7.2%")), ("产品名称", "安心贷")),
        ((("年利率", "7.2%"), ("期数", "12 个月")), ("", "")),
    ],
)
def test_a_row_of_values_is_no_header(
    tmp_path: Path, rows: tuple[tuple[object, ...], ...], header: tuple[str, ...]
) -> None:
    assert tables(load(tmp_path, "a.xlsx", workbook(filled(*rows))))[0][0] == header


def test_a_sheet_of_questions_gives_a_clause_for_each(tmp_path: Path) -> None:
    rows = (("问题", "答案"), ("可以提前还款吗？", "可以，不收违约金。"), ("几点扣款？", "九点。"))
    found = chunk(load(tmp_path, "a.xlsx", workbook(filled(*rows), s1="还款")))
    assert [(c.locator, c.text) for c in found] == [
        ("还款 > 可以提前还款吗？", "可以，不收违约金。"),
        ("还款 > 几点扣款？", "九点。"),
    ]


def test_row_seven_of_a_fee_table_is_found_and_quoted_as_a_row(tmp_path: Path) -> None:
    from knowledge.chunk import quotable

    names = ("利息", "罚息", "短信费", "公证费", "账户管理费", "提前结清手续费", "征信查询费")
    rows = [("项目", "标准"), *((name, f"{at} 元") for at, name in enumerate(names))]
    (clause,) = chunk(load(tmp_path, "a.xlsx", workbook(filled(*rows), s1="费用")))
    assert "项目：提前结清手续费；标准：5 元" in quotable(clause)


# Delimited text


CSV = "项目{0}标准{0}说明\n提前结清手续费{0}0%{0}免收\n逾期罚息{0}9%{0}按日\n"
CSV_ROWS = (
    ("项目", "标准", "说明"), ("提前结清手续费", "0%", "免收"), ("逾期罚息", "9%", "按日")
)  # fmt: skip


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "utf-16"])
def test_delimited_text_is_read_in_every_delimiter_and_encoding(
    tmp_path: Path, delimiter: str, encoding: str
) -> None:
    document = load(tmp_path, "a.csv", CSV.format(delimiter).encode(encoding))
    assert tables(document) == [CSV_ROWS]
    assert [c.locator for c in chunk(document)] == ["第2-3行"] or document.head.title == "a"


def test_delimited_text_in_big5_is_read(tmp_path: Path) -> None:
    content = "項目,標準\n提前清償手續費,免收\n逾期違約金,按日計收\n"
    document = load(tmp_path, "a.csv", content.encode("big5"))
    assert tables(document)[0][1] == ("提前清償手續費", "免收")


def test_quoted_fields_keep_delimiters_marks_and_line_breaks(tmp_path: Path) -> None:
    content = '项目,说明\n罚息,"按日,计收\n以""合同""为准"\n'
    document = load(tmp_path, "a.tsv", content)
    assert tables(document)[0][1] == ("罚息", '按日,计收\n以"合同"为准')


def test_ragged_lines_are_named_and_kept(tmp_path: Path) -> None:
    content = '收费标准\n项目,标准,说明\n罚息,"9%\n起",按日\n短信费,0\n公证费,200,按次,多\n注：略\n'
    document = load(tmp_path, "a.csv", content)
    assert document.head.title == "收费标准"
    assert "5, 6;" in document.warnings[0]
    assert tables(document)[0][2:] == (("短信费", "0", "", ""), ("公证费", "200", "按次", "多"))
    assert texts(document)[-1] == "注：略"


def test_a_quotation_mark_left_open_does_not_swallow_the_rest(tmp_path: Path) -> None:
    content = '尺寸,价格\n"7 英寸,100\n8 英寸,200\n'
    document = load(tmp_path, "a.csv", content)
    assert tables(document)[0][1:] == (('"7 英寸', "100"), ("8 英寸", "200"))
    assert "line 2" in document.warnings[0]


def test_a_declared_delimiter_is_believed(tmp_path: Path) -> None:
    document = load(tmp_path, "a.csv", "sep=;\n名称;值,单位\n利率;7,2\n")
    assert tables(document) == [(("名称", "值,单位"), ("利率", "7,2"))]


# Refused


def test_an_encrypted_or_old_workbook_is_refused(tmp_path: Path) -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512)
    encrypted = ole + "EncryptedPackage".encode("utf-16-le")
    assert "password" in refuse(tmp_path, "a.xlsx", encrypted)
    assert "Excel 97-2003; save it as .xlsx" in refuse(tmp_path, "b.xlsx", ole)


def test_a_workbook_without_anything_in_it_is_refused(tmp_path: Path) -> None:
    assert "holds no text" in refuse(tmp_path, "a.xlsx", workbook(lambda sheet: None))


def test_a_word_document_named_as_a_workbook_is_refused(tmp_path: Path) -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr("word/document.xml", "<w/>")
    assert "not an Excel workbook" in refuse(tmp_path, "a.xlsx", buffer.getvalue())


def test_a_merge_over_the_whole_sheet_is_clipped_to_what_is_filled(tmp_path: Path) -> None:
    data = edited(
        workbook(filled(*FEES)),
        SHEET,
        lambda xml: xml.replace(
            "</sheetData>", '</sheetData><mergeCells><mergeCell ref="B3:XFD1048576"/></mergeCells>'
        ),
    )
    assert tables(load(tmp_path, "a.xlsx", data)) == [FEES]


def test_a_long_text_named_many_times_is_refused(tmp_path: Path) -> None:
    def build(sheet: Worksheet) -> None:
        for _ in range(700):
            sheet.append(["长" * 30_000])

    data = workbook(build)
    assert len(data) < 2**20
    assert f"more than {MAX_CELLS:,} cells or" in refuse(tmp_path, "a.xlsx", data)


FILLER = "<x/>" * (MAX_MARKS + 1)


@pytest.mark.parametrize(
    ("part", "change", "reason"),
    [
        (SHEET, lambda xml: xml.replace("<sheetData>", f"{FILLER}<sheetData>"), "tags"),
        (SHEET, lambda xml: xml.replace("</row>", f"{FILLER}</row>", 1), "tags"),
        (STRINGS, lambda xml: xml.replace("</sst>", "<si/>" * MAX_CELLS + "</sst>"), "500,000"),
    ],
)
def test_what_is_no_cell_does_not_fill_the_memory(
    tmp_path: Path, part: str, change: Callable[[str], str], reason: str
) -> None:
    assert reason in refuse(tmp_path, "a.xlsx", edited(bare(), part, change))


def test_elements_between_cells_are_passed_over(tmp_path: Path) -> None:
    between = "<x/>" * 100_000
    wide = workbook(filled(*(("项目", "标准", "期限") for _ in range(20))))
    data = edited(wide, SHEET, lambda xml: xml.replace("</c><c", f"</c>{between}<c"))
    assert tables(load(tmp_path, "a.xlsx", data)) == tables(load(tmp_path, "b.xlsx", wide))


def test_scattered_cells_do_not_make_a_huge_table(tmp_path: Path) -> None:
    rows = "".join(
        f'<row r="{n}">' + "".join(f'<c r="{c}{n}"><v>1</v></c>' for c in ("A", _letters(n)))
        + "</row>"
        for n in range(1, 8000)
    )  # fmt: skip
    data = edited(
        workbook(filled(*FEES)),
        SHEET,
        lambda xml: re.sub("<sheetData>.*</sheetData>", f"<sheetData>{rows}</sheetData>", xml),
    )
    assert "most of them empty" in refuse(tmp_path, "a.xlsx", data)


def _letters(column: int) -> str:
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def test_entities_in_a_workbook_are_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'

    def declare(xml: str) -> str:
        head, mark, rest = xml.partition("?>")
        return f"{head}{mark}{bomb}{rest}" if mark else bomb + xml

    for part in (SHEET, "xl/workbook.xml", STRINGS):
        data = edited(bare(), part, declare)
        assert "entities" in refuse(tmp_path, "a.xlsx", data)


@pytest.mark.parametrize("name", ["../../etc/x.xml", "/etc/x.xml", "C:\\x.xml", "xl\\..\\..\\x"])
def test_a_part_that_lies_outside_the_package_is_refused(tmp_path: Path, name: str) -> None:
    buffer = BytesIO(workbook(filled(*FEES)))
    with zipfile.ZipFile(buffer, "a") as package:
        package.writestr(name, "x")
    assert "lies outside it" in refuse(tmp_path, "a.xlsx", buffer.getvalue())


def test_a_part_that_unpacks_to_more_than_it_declares_is_refused(tmp_path: Path) -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("xl/workbook.xml", b" " * (64 * 2**20))
    data = bytearray(buffer.getvalue())
    size = (64 * 2**20).to_bytes(4, "little")
    while (at := data.find(size)) >= 0:
        data[at : at + 4] = (1000).to_bytes(4, "little")
    refuse(tmp_path, "a.xlsx", bytes(data))


SAMPLES = {
    ".xlsx": workbook(filled(("项目", "标准"), ("罚息", 0.09), ("上限", date(2025, 1, 1)))),
    ".csv": CSV.format(",").encode("gbk"),
}


@pytest.mark.parametrize("suffix", SAMPLES)
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(edits=st.lists(st.tuples(st.integers(0), st.binary(max_size=6)), min_size=1, max_size=6))
def test_a_damaged_table_file_gives_text_or_a_reason(
    tmp_path: Path, suffix: str, edits: list[tuple[int, bytes]]
) -> None:
    content = bytearray(SAMPLES[suffix])
    for at, patch in edits:
        at %= len(content) + 1
        content[at : at + len(patch)] = patch
    try:
        document = load(tmp_path, f"a{suffix}", bytes(content))
    except Unreadable:
        return
    for block in document.blocks:
        assert not block.row_numbers or len(block.row_numbers) == len(block.rows)
    assert all(clause.text.strip() for clause in chunk(document))


CELLS = st.one_of(
    st.none(),
    st.integers(-(10**6), 10**6),
    st.floats(allow_nan=False, allow_infinity=False),
    st.datetimes(datetime(1901, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001
    st.text(st.sampled_from("甲乙项目标准12.%：；"), max_size=8),
)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(st.lists(CELLS, max_size=6), max_size=10))
def test_no_word_of_a_sheet_is_lost(tmp_path: Path, rows: list[list[object]]) -> None:
    words = {w.strip() for row in rows for w in row if isinstance(w, str) and w.strip()}
    try:
        document = load(tmp_path, "a.xlsx", workbook(filled(*map(tuple, rows))))
    except Unreadable:
        assert not words
        return
    kept = " ".join(
        [*texts(document), *(cell for t in tables(document) for row in t for cell in row)]
    )
    assert all(word in kept for word in words)
