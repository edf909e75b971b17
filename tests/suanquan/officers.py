"""Accounts of programme officers, in whose names tests run commands."""

from suanquan.db import people

OFFICERS = ("李四", "张三", "wang")


async def make_officers(service):
    """Give a home these accounts, without passwords."""
    async with service.database.write() as conn:
        for name in OFFICERS:
            await people.add_person(conn, name, 0)
            await people.grant(conn, name, people.Grant("programme_officer", ""), "", 0)
