"""Programme officers: their accounts, in whose names tests run commands, and what came into quarantine for them to decide."""

from sqlalchemy import select

from metering.tables import quarantine
from suanquan.db import people

OFFICERS = ("李四", "张三", "wang")


async def make_officers(service):
    """Give a home these accounts, without passwords."""
    async with service.database.write() as conn:
        for name in OFFICERS:
            await people.add_person(conn, name, 0)
            await people.grant(conn, name, people.Grant("programme_officer", ""), "", 0)


async def waiting(connection):
    """Records that came into quarantine, newest batch first."""
    query = select(quarantine).order_by(quarantine.c.batch.desc(), quarantine.c.position)
    return [dict(row) for row in (await connection.execute(query)).mappings()]
