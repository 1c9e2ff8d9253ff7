"""Litestar with its SQLAlchemy plugin and DTOs (Advanced Alchemy), JWTAuth, and asyncpg."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from advanced_alchemy.extensions.litestar import (
    EngineConfig,
    SQLAlchemyAsyncConfig,
    SQLAlchemyDTO,
    SQLAlchemyDTOConfig,
    SQLAlchemyPlugin,
)
from litestar import Litestar, Request, Response, get, patch, post
from litestar.concurrency import sync_to_thread
from litestar.connection import ASGIConnection
from litestar.dto import DTOData
from litestar.enums import RequestEncodingType
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.params import Body
from litestar.response import Stream
from litestar.security.jwt import JWTAuth, Token
from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from bench.peers.common import (
    COLUMNS,
    DATABASE_URL,
    POOL_SIZE,
    SECRET_KEY,
    csv_text,
    is_right,
    tokens_for,
)
from bench.peers.tables import Item, User

alchemy = SQLAlchemyAsyncConfig(
    connection_string=DATABASE_URL.replace("postgresql:", "postgresql+asyncpg:"),
    engine_config=EngineConfig(pool_size=POOL_SIZE, max_overflow=0),
    before_send_handler="autocommit",
)


class UserOut(SQLAlchemyDTO[User]):
    config = SQLAlchemyDTOConfig(exclude={"hashed_password"})


class ItemOut(SQLAlchemyDTO[Item]):
    config = SQLAlchemyDTOConfig()


class ItemIn(SQLAlchemyDTO[Item]):
    config = SQLAlchemyDTOConfig(include={"title", "description", "status"})


class ItemChange(SQLAlchemyDTO[Item]):
    config = SQLAlchemyDTOConfig(include={"title", "description", "status"}, partial=True)


async def retrieve_user(
    token: Token, connection: ASGIConnection[Any, Any, Any, Any]
) -> User | None:
    session = alchemy.provide_session(connection.app.state, connection.scope)
    user = await session.get(User, int(token.sub))
    return user if user is not None and user.is_active else None


auth = JWTAuth[User](
    retrieve_user_handler=retrieve_user, token_secret=SECRET_KEY, exclude=["/api/v1/auth/login"]
)


@post("/api/v1/auth/login", status_code=200)
async def login(
    db_session: AsyncSession,
    data: Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)],
) -> dict[str, Any]:
    name = data["username"]
    user = await db_session.scalar(
        select(User).where(or_(User.email == name, User.username == name))
    )
    # A thread, since hashing would hold up the loop.
    if user is None or not await sync_to_thread(is_right, data["password"], user.hashed_password):
        raise NotAuthorizedException("Incorrect email or password")
    return tokens_for(user.id)


@get("/api/v1/users/me", return_dto=UserOut)
async def read_user_me(request: Request[User, Token, Any]) -> User:
    return request.user


@get("/api/v1/items/", return_dto=ItemOut)
async def read_items(
    db_session: AsyncSession, request: Request[User, Token, Any], skip: int = 0, limit: int = 100
) -> Response[list[Item]]:
    count = select(func.count()).select_from(Item)
    page = select(Item).order_by(Item.id).offset(skip).limit(limit)
    if request.user.role != "admin":
        count = count.where(Item.owner_id == request.user.id)
        page = page.where(Item.owner_id == request.user.id)
    total = await db_session.scalar(count)
    items = list(await db_session.scalars(page))
    return Response(items, headers={"X-Total-Count": str(total)})


@get("/api/v1/items/export")
async def export_items(request: Request[User, Token, Any]) -> Stream:
    rows = select(*(getattr(Item, name) for name in COLUMNS)).order_by(Item.id)
    if request.user.role != "admin":
        rows = rows.where(Item.owner_id == request.user.id)

    async def write() -> AsyncIterator[str]:
        yield csv_text([], has_header=True)
        async with alchemy.get_session() as session:
            stream = await session.stream(rows.execution_options(yield_per=1000))
            async for part in stream.partitions():
                yield csv_text(part)

    return Stream(write(), media_type="text/csv")


async def get_own_item(session: AsyncSession, user: User, item_id: int) -> Item:
    item = await session.get(Item, item_id)
    if item is None or (user.role != "admin" and item.owner_id != user.id):
        raise NotFoundException("Item not found")
    return item


@get("/api/v1/items/{item_id:int}", return_dto=ItemOut)
async def read_item(
    db_session: AsyncSession, request: Request[User, Token, Any], item_id: int
) -> Item:
    return await get_own_item(db_session, request.user, item_id)


@post("/api/v1/items/", dto=ItemIn, return_dto=ItemOut)
async def create_item(
    db_session: AsyncSession, request: Request[User, Token, Any], data: DTOData[Item]
) -> Item:
    item = data.create_instance(owner_id=request.user.id)
    db_session.add(item)
    await db_session.flush()
    return item


@patch("/api/v1/items/{item_id:int}", dto=ItemChange, return_dto=ItemOut)
async def update_item(
    db_session: AsyncSession, request: Request[User, Token, Any], item_id: int, data: DTOData[Item]
) -> Item:
    item = data.update_instance(await get_own_item(db_session, request.user, item_id))
    await db_session.flush()
    return item


app = Litestar(
    route_handlers=[
        login,
        read_user_me,
        read_items,
        export_items,
        read_item,
        create_item,
        update_item,
    ],
    plugins=[SQLAlchemyPlugin(config=alchemy)],
    on_app_init=[auth.on_app_init],
    openapi_config=None,
)
