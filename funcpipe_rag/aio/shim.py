import asyncio
from .stages import AsyncStage
from .ownership import Owned, stop
class _S(AsyncStage):
    __slots__=("f",)
    def opening(self, xs, run): return self.f(xs)
def mk(name,f,*a):
    s=_S(name,*a); s.set_once(f=f); return s
def abuffer(n):
    async def go(xs):
        q=asyncio.Queue(n); END=object()
        async with Owned() as o:
            it=o.opened(xs)
            async def feed():
                try:
                    async for x in it: await q.put((x,None))
                    await q.put((END,None))
                except asyncio.CancelledError: raise
                except BaseException as e: await q.put((END,e))
            class T:
                async def aclose(s): await stop([t])
            t=asyncio.create_task(feed()); o.take(T())
            while True:
                x,e=await q.get()
                if x is END:
                    if e: raise e
                    return
                yield x
    return mk("abuffer",go,n)
def abatch(n,max_wait=None):
    async def go(xs):
        async with Owned() as o:
            it=o.opened(xs); b=[]; pull=None
            try:
                while True:
                    pull=pull or asyncio.ensure_future(anext(it,None))
                    done,_=await asyncio.wait([pull],timeout=max_wait if b else None)
                    if done:
                        x=pull.result(); pull=None
                        if x is None: break
                        b.append(x)
                    if not done or len(b)==n: yield b; b=[]
                if b: yield b
            finally:
                if pull: await stop([pull])
    return mk("abatch",go,n)
def from_sync(xs,executor=None): 
    async def go():
        for x in xs: yield x
    return go()
