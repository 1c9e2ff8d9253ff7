"""FastCRUD over FastAPI, SQLAlchemy's asynchronous session and asyncpg."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.responses import StreamingResponse
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from fastcrud import FastCRUD
from sqlalchemy import or_
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from starlette.concurrency import run_in_threadpool

from bench.peers.common import (
    DATABASE_URL,
    POOL_SIZE,
    csv_text,
    is_right,
    tokens_for,
    user_id_of,
)
from bench.peers.schemas import ItemCreate, ItemPublic, ItemUpdate, Tokens, UserPublic
from bench.peers.tables import Item, User

Record = dict[str, Any]

engine = create_async_engine(
    DATABASE_URL.replace("postgresql:", "postgresql+asyncpg:"),
    pool_size=POOL_SIZE,
    max_overflow=0,
)
sessions = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()
oauth2 = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/login")
crud_users: Any = FastCRUD(User)
crud_items: Any = FastCRUD(Item)


async def get_db() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_db)]


async def get_current_user(session: SessionDep, token: Annotated[str, Depends(oauth2)]) -> Record:
    user_id = user_id_of(token)
    user: Record | None = await crud_users.get(
        session, schema_to_select=UserPublic, id=user_id, is_active=True
    )
    if user_id is None or user is None:
        raise HTTPException(status_code=401, detail="Could not validate credentials")
    return user


CurrentUser = Annotated[Record, Depends(get_current_user)]


def scope_of(user: Record) -> Record:
    return {} if user["role"] == "admin" else {"owner_id": user["id"]}


@app.post("/api/v1/auth/login", response_model=Tokens)
async def login(
    session: SessionDep, form: Annotated[OAuth2PasswordRequestForm, Depends()]
) -> Record:
    named = or_(User.email == form.username, User.username == form.username)
    user = await crud_users.get(session, where=named)
    # A thread, since hashing would hold up the loop.
    if user is None or not await run_in_threadpool(
        is_right, form.password, user["hashed_password"]
    ):
        raise HTTPException(status_code=401, detail="Incorrect email or password")
    return tokens_for(user["id"])


@app.get("/api/v1/users/me", response_model=UserPublic)
async def read_user_me(user: CurrentUser) -> Record:
    return user


@app.get("/api/v1/items/", response_model=list[ItemPublic])
async def read_items(
    session: SessionDep, user: CurrentUser, response: Response, skip: int = 0, limit: int = 100
) -> list[Record]:
    page = await crud_items.get_multi(
        session,
        offset=skip,
        limit=limit,
        schema_to_select=ItemPublic,
        sort_columns="id",
        **scope_of(user),
    )
    response.headers["X-Total-Count"] = str(page["total_count"])
    records: list[Record] = page["data"]
    return records


@app.get("/api/v1/items/export")
async def export_items(user: CurrentUser) -> StreamingResponse:
    """FastCRUD itself streams nothing: its statement, on SQLAlchemy's stream."""
    rows = await crud_items.select(schema_to_select=ItemPublic, sort_columns="id", **scope_of(user))

    async def write() -> AsyncIterator[str]:
        yield csv_text([], has_header=True)
        async with sessions() as session:
            stream = await session.stream(rows.execution_options(yield_per=1000))
            async for part in stream.partitions():
                yield csv_text(part)

    return StreamingResponse(write(), media_type="text/csv")


@app.get("/api/v1/items/{item_id}", response_model=ItemPublic)
async def read_item(session: SessionDep, user: CurrentUser, item_id: int) -> Record:
    item: Record | None = await crud_items.get(
        session, schema_to_select=ItemPublic, id=item_id, **scope_of(user)
    )
    if item is None:
        raise HTTPException(status_code=404, detail="Item not found")
    return item


@app.post("/api/v1/items/", response_model=ItemPublic, status_code=201)
async def create_item(session: SessionDep, user: CurrentUser, item_in: ItemCreate) -> Record:
    created: Record = await crud_items.create(
        session, item_in, schema_to_select=ItemPublic, server_data={"owner_id": user["id"]}
    )
    return created


@app.patch("/api/v1/items/{item_id}", response_model=ItemPublic)
async def update_item(
    session: SessionDep, user: CurrentUser, item_id: int, item_in: ItemUpdate
) -> Record:
    # A statement of Core, to which the mapper's version counter does not reach.
    updated: Record | None = await crud_items.update(
        session,
        item_in,
        server_data={"version": Item.version + 1},
        return_columns=list(ItemPublic.model_fields),
        one_or_none=True,
        id=item_id,
        **scope_of(user),
    )
    if updated is None:
        raise HTTPException(status_code=404, detail="Item not found")
    return updated
