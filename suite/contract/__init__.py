"""Does a method or a task keep its promises?"""
