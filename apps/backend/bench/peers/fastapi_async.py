"""FastAPI with SQLAlchemy's asynchronous session over asyncpg."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.responses import StreamingResponse
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from starlette.concurrency import run_in_threadpool

from bench.peers.common import (
    COLUMNS,
    DATABASE_URL,
    POOL_SIZE,
    csv_text,
    is_right,
    tokens_for,
    user_id_of,
)
from bench.peers.schemas import ItemCreate, ItemPublic, ItemUpdate, Tokens, UserPublic
from bench.peers.tables import Item, User

engine = create_async_engine(
    DATABASE_URL.replace("postgresql:", "postgresql+asyncpg:"),
    pool_size=POOL_SIZE,
    max_overflow=0,
)
sessions = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()
oauth2 = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/login")


async def get_db() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_db)]


async def get_current_user(session: SessionDep, token: Annotated[str, Depends(oauth2)]) -> User:
    user_id = user_id_of(token)
    user = await session.get(User, user_id) if user_id is not None else None
    if user is None or not user.is_active:
        raise HTTPException(status_code=401, detail="Could not validate credentials")
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]


async def get_own_item(session: SessionDep, user: CurrentUser, item_id: int) -> Item:
    item = await session.get(Item, item_id)
    if item is None or (user.role != "admin" and item.owner_id != user.id):
        raise HTTPException(status_code=404, detail="Item not found")
    return item


OwnItem = Annotated[Item, Depends(get_own_item)]


@app.post("/api/v1/auth/login", response_model=Tokens)
async def login(
    session: SessionDep, form: Annotated[OAuth2PasswordRequestForm, Depends()]
) -> dict[str, object]:
    named = or_(User.email == form.username, User.username == form.username)
    user = (await session.scalars(select(User).where(named))).first()
    # A thread, since hashing would hold up the loop.
    if user is None or not await run_in_threadpool(is_right, form.password, user.hashed_password):
        raise HTTPException(status_code=401, detail="Incorrect email or password")
    return tokens_for(user.id)


@app.get("/api/v1/users/me", response_model=UserPublic)
async def read_user_me(user: CurrentUser) -> User:
    return user


@app.get("/api/v1/items/", response_model=list[ItemPublic])
async def read_items(
    session: SessionDep, user: CurrentUser, response: Response, skip: int = 0, limit: int = 100
) -> Sequence[Item]:
    count = select(func.count()).select_from(Item)
    page = select(Item).order_by(Item.id).offset(skip).limit(limit)
    if user.role != "admin":
        count = count.where(Item.owner_id == user.id)
        page = page.where(Item.owner_id == user.id)
    response.headers["X-Total-Count"] = str(await session.scalar(count))
    return (await session.scalars(page)).all()


@app.get("/api/v1/items/export")
async def export_items(user: CurrentUser) -> StreamingResponse:
    rows = select(*(getattr(Item, name) for name in COLUMNS)).order_by(Item.id)
    if user.role != "admin":
        rows = rows.where(Item.owner_id == user.id)

    async def write() -> AsyncIterator[str]:
        yield csv_text([], has_header=True)
        async with sessions() as session:
            stream = await session.stream(rows.execution_options(yield_per=1000))
            async for part in stream.partitions():
                yield csv_text(part)

    return StreamingResponse(write(), media_type="text/csv")


@app.get("/api/v1/items/{item_id}", response_model=ItemPublic)
async def read_item(item: OwnItem) -> Item:
    return item


@app.post("/api/v1/items/", response_model=ItemPublic, status_code=201)
async def create_item(session: SessionDep, user: CurrentUser, item_in: ItemCreate) -> Item:
    item = Item(**item_in.model_dump(), owner_id=user.id)
    session.add(item)
    await session.commit()
    return item


@app.patch("/api/v1/items/{item_id}", response_model=ItemPublic)
async def update_item(session: SessionDep, item: OwnItem, item_in: ItemUpdate) -> Item:
    for name, value in item_in.model_dump(exclude_unset=True).items():
        setattr(item, name, value)
    await session.commit()
    return item
